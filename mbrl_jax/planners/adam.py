"""Gradient ascent on plans by Adam, from several starts at once.

Each of ``N`` plans climbs the gradient of its own return and is projected to the bounds::

  v_i <- clip(v_i + learning_rate * half_range * adam(d return_i / d v_i))

The best plan that was scored is executed. At the next control step it goes on, shifted, and the
others start anew around it with noise that is coloured in time, because a gradient alone climbs
only the hill it started on. The dynamics must be differentiable.

Adam takes gradients of any size but for its epsilon of 1e-8 and for squares that overflow. So
where the largest number of the first gradients of a control step lies outside 1e-6 to 1e12, all
of that step are divided by a power of two.

Source: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization"; the restarts are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import optax

from mbrl_jax.ops.noise import coloured_normal
from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.planners.utility import magnitude
from mbrl_jax.types import Array, Key, Search


class AdamState(NamedTuple):
  """State of the gradient search; its floats may be changed at any time.

  Attributes:
    plans: the plans that climb, ``[N, H, A]``.
    moments: optax's state of Adam.
    unit: what gradients are divided by in this replan, ``[]``.
    fresh: the plans are still to be drawn, ``[]`` bool.
    plan, value: best plan of this replan ``[H, A]`` and its return ``[]``.
    std: deviation of the starts, ``[H, A]``.
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
    samples: ``N``, plans that climb at the same time.
    learning_rate: largest step of an action per iteration, about, as a share of half the
      action range.
    noise_scale: deviation of the starts from the best plan as a share of half the action range.
    noise_exponent: spectral exponent of that noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive.
  """
  positive(samples=samples, learning_rate=learning_rate, noise_scale=noise_scale)
  climber = optax.scale_by_adam()

  def init(low: Array, high: Array) -> AdamState:
    middle = (low + high) / 2
    plans = jnp.broadcast_to(middle, (samples, *middle.shape))
    return AdamState(
      plans=plans,
      moments=climber.init(plans),
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

  def sample(state: AdamState, key: Key, size: int) -> tuple[Array, AdamState]:
    noise = coloured_normal(key, (size, *state.plan.shape), state.noise_exponent)
    # The best plan so far is one of the starts.
    drawn = (state.plan + state.std * noise).at[0].set(state.plan)
    climbing = jnp.take(state.plans, jnp.arange(size) % samples, axis=0)
    return jnp.where(state.fresh, jnp.clip(drawn, state.low, state.high), climbing), state

  def update(state: AdamState, plans: Array, returns: Array, gradients: Array) -> AdamState:
    best = jnp.argmax(returns)
    better = returns[best] > state.value
    unit = jnp.where(state.fresh, magnitude(gradients), state.unit)
    # Adam forgets the size of a gradient, so that clipping one changes nothing but its square.
    scaled = jnp.clip(gradients[:samples] / unit, -1e18, 1e18)
    steps, moments = climber.update(scaled, state.moments)
    rate = state.learning_rate * (state.high - state.low) / 2
    return state._replace(
      plans=jnp.clip(plans[:samples] + rate * steps, state.low, state.high),
      moments=moments,
      unit=unit,
      fresh=jnp.asarray(False),
      plan=jnp.where(better, plans[best], state.plan),
      value=jnp.where(better, returns[best], state.value),
    )

  def shift(state: AdamState, steps: int) -> AdamState:
    return state._replace(
      moments=climber.init(state.plans),
      fresh=jnp.asarray(True),
      plan=shift_plan(state.plan, steps, state.plan[-1]),
      value=jnp.float32(-jnp.inf),
    )

  sizes = lambda iterations: (samples,) * iterations
  return Search(init, sample, update, lambda state: state.plan, shift, sizes, gradients=True)
