"""Predictive sampling: the best of the present plan and noisy copies of it.

Per iteration, with plan ``u`` and deviation ``sigma``::

  v_i = u + sigma * noise_i  (clipped to the bounds),   v_N = u
  u  <- v_i of the largest return

Source: Howell et al. 2022, "Predictive Sampling: Real-time Behaviour Synthesis with MuJoCo",
the elementary baseline of MuJoCo MPC. Its plans are splines: give ``make_planner`` ``knots``.

Deviations:
  * Noise may be coloured in time (``noise_exponent``), which smooths plans without knots.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.noise import coloured_normal
from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import shift_plan
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
    samples: ``N``, plans per iteration, the present one among them.
    noise_scale: deviation of the noise as a share of half the action range.
    noise_exponent: spectral exponent of the noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive.
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
    noise = coloured_normal(key, (size, *state.plan.shape), state.noise_exponent)
    # The present plan competes, as the last one.
    plans = (state.plan + state.std * noise).at[-1].set(state.plan)
    return jnp.clip(plans, state.low, state.high), state

  def update(
    state: PredictiveSamplingState, plans: Array, returns: Array
  ) -> PredictiveSamplingState:
    return state._replace(plan=plans[jnp.argmax(returns)])

  def shift(state: PredictiveSamplingState, steps: int) -> PredictiveSamplingState:
    return state._replace(plan=shift_plan(state.plan, steps, state.plan[-1]))

  return Search(init, sample, update, lambda state: state.plan, shift, lambda n: (samples,) * n)
