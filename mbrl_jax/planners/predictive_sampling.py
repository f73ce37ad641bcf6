"""Predictive sampling: the best of the current plan and noisy copies of it.

Per iteration, with plan ``u`` and deviation ``sigma``::

  v_i = u + sigma * noise_i  (clipped to the bounds),   v_N = u
  u  <- v_i of the largest return

Source: Howell et al. 2022, "Predictive Sampling: Real-time Behaviour Synthesis with MuJoCo",
the baseline of MuJoCo MPC. Its plans are splines: pass ``knots`` to ``make_planner``.

Deviations:
  * Noise may be coloured in time (``noise_exponent``), which smooths plans without knots.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.noise import coloured_normal
from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import best_plan, fixed_sizes, shift_plan
from mbrl_jax.types import Array, Key, Search


class PredictiveSamplingState(NamedTuple):
  """State of predictive sampling; its floats may be changed at any time.

  Attributes:
    plan: ``u``, ``[H, A]``.
    std: ``sigma``, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    noise_exponent: spectral exponent of the noise, ``[]``.
  """

  plan: Array
  std: Array
  low: Array
  high: Array
  noise_exponent: Array


def predictive_sampling(
  samples: int = 128, *, noise_scale: float = 0.5, noise_exponent: float = 0.0
) -> Search:
  """Makes the predictive-sampling search.

  Args:
    samples: ``N``, plans per iteration, including the current one.
    noise_scale: deviation of the noise as a share of half the action range.
    noise_exponent: spectral exponent of the noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive.

  Example:
    >>> import jax
    >>> search = predictive_sampling(samples=500, noise_scale=0.3)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 500)
    >>> state = search.update(state, plans, -jnp.abs(plans - 0.5).sum((1, 2)))
    >>> bool(jnp.all(jnp.abs(search.mean(state) - 0.5) < 0.2))
    True
  """
  positive(samples=samples, noise_scale=noise_scale)

  def init(low: Array, high: Array) -> PredictiveSamplingState:
    return PredictiveSamplingState(
      plan=(low + high) / 2,
      std=noise_scale * (high - low) / 2,
      low=low,
      high=high,
      noise_exponent=jnp.asarray(noise_exponent, jnp.float32),
    )

  def sample(
    state: PredictiveSamplingState, key: Key, size: int
  ) -> tuple[Array, PredictiveSamplingState]:
    horizon, actions = state.plan.shape
    noise = coloured_normal(key, (size, horizon, actions), state.noise_exponent)
    # The current plan competes, as the last one.
    plans = (state.plan + state.std * noise).at[-1].set(state.plan)
    return jnp.clip(plans, state.low, state.high), state

  def update(
    state: PredictiveSamplingState, plans: Array, returns: Array
  ) -> PredictiveSamplingState:
    return state._replace(plan=plans[jnp.argmax(returns)])

  def shift(state: PredictiveSamplingState, steps: int) -> PredictiveSamplingState:
    return state._replace(plan=shift_plan(state.plan, steps, state.plan[-1]))

  return Search(init, sample, update, best_plan, shift, fixed_sizes(samples))
