"""Gradient ascent on plans with Adam, from several starts in parallel.

Each of ``N`` plans follows the gradient of its own return and is projected onto the bounds::

  v_i <- clip(v_i + learning_rate * half_range * adam(d return_i / d v_i))

The best plan that was scored is executed. At the next control step it continues, shifted, and
the others restart around it with noise coloured in time, because gradient ascent only finds the
local optimum it started near. The dynamics must be differentiable.

Adam is invariant to the scale of gradients except for its epsilon of 1e-8 and for squares that
overflow. Where the largest of the first gradients of a control step lies outside 1e-6 to 1e12,
all gradients of that control step are divided by a power of two.

Source: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization".

Deviations:
  * The restarts are not from the paper.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import jax.numpy as jnp
import optax

from mbrl_jax.ops.noise import coloured_normal
from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import best_plan, fixed_sizes, keep_best, shift_plan
from mbrl_jax.planners.utility import magnitude
from mbrl_jax.types import Array, Key, Search, UpdateFn

_ADAM = optax.scale_by_adam()


class AdamState(NamedTuple):
  """State of the gradient search; its floats may be changed at any time.

  Attributes:
    plans: plans under optimisation, ``[N, H, A]``.
    moments: optax's Adam state.
    unit: divisor of the gradients in this replan, ``[]``.
    fresh: whether the plans are not yet sampled in this replan, ``[]`` bool.
    plan, value: best plan of this replan ``[H, A]`` and its return ``[]``.
    std: deviation of the starting plans, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    learning_rate: as a share of half the action range, ``[]``.
    noise_exponent: spectral exponent of the noise, ``[]``.
  """

  plans: Array
  moments: optax.ScaleByAdamState
  unit: Array
  fresh: Array
  plan: Array
  value: Array
  std: Array
  low: Array
  high: Array
  learning_rate: Array
  noise_exponent: Array


def adam(
  samples: int = 64,
  *,
  learning_rate: float = 0.1,
  noise_scale: float = 0.5,
  noise_exponent: float = 1.0,
) -> Search:
  """Makes the gradient search.

  Args:
    samples: ``N``, plans that are optimised in parallel.
    learning_rate: approximate largest step of an action per iteration, as a share of half the
      action range.
    noise_scale: deviation of the starting plans from the best plan as a share of half the
      action range.
    noise_exponent: spectral exponent of that noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive.

  Example:
    >>> import jax
    >>> search = adam(samples=4, learning_rate=0.1)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 4)
    >>> state = search.update(state, plans, plans.sum((1, 2)), jnp.ones_like(plans))
    >>> bool(jnp.all(state.plans > plans))
    True
  """
  positive(samples=samples, learning_rate=learning_rate, noise_scale=noise_scale)

  def init(low: Array, high: Array) -> AdamState:
    middle = (low + high) / 2
    plans = jnp.broadcast_to(middle, (samples, *middle.shape))
    return AdamState(
      plans=plans,
      moments=_ADAM.init(plans),
      unit=jnp.ones((), jnp.float32),
      fresh=jnp.asarray(True),
      plan=middle,
      value=jnp.float32(-jnp.inf),
      std=noise_scale * (high - low) / 2,
      low=low,
      high=high,
      learning_rate=jnp.asarray(learning_rate, jnp.float32),
      noise_exponent=jnp.asarray(noise_exponent, jnp.float32),
    )

  # UpdateFn does not declare the gradients.
  update = cast(UpdateFn, _update)
  return Search(init, _sample, update, best_plan, _shift, fixed_sizes(samples), gradients=True)


def _sample(state: AdamState, key: Key, size: int) -> tuple[Array, AdamState]:
  """Returns the plans under optimisation, newly sampled at the start of a replan."""
  horizon, actions = state.plan.shape
  noise = coloured_normal(key, (size, horizon, actions), state.noise_exponent)
  # The best plan so far is one of the starts.
  starts = (state.plan + state.std * noise).at[0].set(state.plan)
  current = jnp.take(state.plans, jnp.arange(size) % len(state.plans), axis=0)
  return jnp.where(state.fresh, jnp.clip(starts, state.low, state.high), current), state


def _update(state: AdamState, plans: Array, returns: Array, gradients: Array) -> AdamState:
  """Takes one Adam step on each plan."""
  samples = len(state.plans)
  unit = jnp.where(state.fresh, magnitude(gradients), state.unit)
  # Adam normalises gradients, so clipping large ones only prevents overflow of their squares.
  scaled = jnp.clip(gradients[:samples] / unit, -1e18, 1e18)
  steps, moments = _ADAM.update(scaled, state.moments)
  rate = state.learning_rate * (state.high - state.low) / 2
  return keep_best(state, plans, returns)._replace(
    plans=jnp.clip(plans[:samples] + rate * steps, state.low, state.high),
    moments=moments,
    unit=unit,
    fresh=jnp.asarray(False),
  )


def _shift(state: AdamState, steps: int) -> AdamState:
  return state._replace(
    moments=_ADAM.init(state.plans),
    fresh=jnp.asarray(True),
    plan=shift_plan(state.plan, steps, state.plan[-1]),
    value=jnp.float32(-jnp.inf),
  )
