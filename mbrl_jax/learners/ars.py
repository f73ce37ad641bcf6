"""Augmented random search: a linear policy, moved along random directions that paid.

The policy is ``a = W (s - mean) / std``, in units in which the bounds are -1 and 1, clipped to
them. Of ``N`` directions ``d_i ~ N(0, 1)`` both ``W + nu d_i`` and ``W - nu d_i`` are tried for
an episode, with returns ``r_i+`` and ``r_i-``. Of the ``b`` directions with the largest
``max(r_i+, r_i-)``, and with the deviation ``sigma`` of their ``2 b`` returns::

  W <- W + alpha / (b sigma) sum_i (r_i+ - r_i-) d_i

``mean`` and ``std`` are those of all states seen before the directions were drawn.

Source: Mania, Guy and Recht 2018, "Simple random search provides a competitive approach to
reinforcement learning", algorithm 2, V2-t; from memory.

Deviations:
  * States that are not finite are not counted in, and a direction with a return that is not
    finite comes last and moves nothing.
  * Actions are scaled and clipped to the bounds.
  * No survival bonus is taken off the rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.networks.actor import to_bounds
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.matmul import einsum, matmul
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.normalize import Normalizer, identity_normalizer, normalize
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.planners.utility import magnitude
from mbrl_jax.types import Array, Key, Metrics


class LinearPolicy(NamedTuple):
  """What acting needs.

  Attributes:
    weights: ``W [A, O]``.
    scaling: mean and deviation of the states ``[O]``.
  """

  weights: Array
  scaling: Normalizer


class ARSState(NamedTuple):
  """State of the learner.

  Attributes:
    policy: the policy that is moved.
    directions: those on trial, ``[N, A, O]``.
    count, mean, square: of the states seen: how many ``[]``, their mean ``[O]``, and the sum
      of their squared distances from it ``[O]``.
    step_size: ``alpha``, ``[]``.
    noise: ``nu``, ``[]``.
  """

  policy: LinearPolicy
  directions: Array
  count: Array
  mean: Array
  square: Array
  step_size: Array
  noise: Array


class ARS(NamedTuple):
  """The learner as pure functions.

  Attributes:
    init: ``(key) -> ARSState``.
    tried: ``(state, trial []) -> LinearPolicy``: trial ``2 i`` is ``W + nu d_i``, ``2 i + 1``
      is ``W - nu d_i``.
    see: ``(state, obs [O]) -> state``, counts a state in.
    update: ``(state, returns [N, 2], key) -> (state, metrics)``, moves the policy and draws
      new directions.
    act: ``(policy, obs [O]) -> action [A]``.
  """

  init: Callable[[Key], ARSState]
  tried: Callable[[ARSState, Array], LinearPolicy]
  see: Callable[[ARSState, Array], ARSState]
  update: Callable[[ARSState, Array, Key], tuple[ARSState, Metrics]]
  act: Callable[[LinearPolicy, Array], Array]


def make_ars(
  obs_dim: int,
  action_low: Any,
  action_high: Any,
  *,
  directions: int = 8,
  top: int = 4,
  step_size: float = 0.02,
  noise: float = 0.03,
) -> ARS:
  """Makes the learner.

  Args:
    obs_dim: ``O``, numbers in an observation, as the policy is given it.
    action_low, action_high: bounds ``[A]``, finite.
    directions: ``N``.
    top: ``b``, at most ``N``.
    step_size: ``alpha``.
    noise: ``nu``.

  Raises:
    ValueError: sizes that are not positive, more top directions than directions.
  """
  positive(obs_dim=obs_dim, directions=directions, step_size=step_size, noise=noise)
  between(1, directions, top=top)
  low, high = np.float32(action_low), np.float32(action_high)
  shape = (len(low), obs_dim)

  def init(key: Key) -> ARSState:
    policy = LinearPolicy(jnp.zeros(shape), identity_normalizer(obs_dim))
    floats = jnp.float32(step_size), jnp.float32(noise)
    none = jnp.zeros(obs_dim)
    drawn = normal(key, (directions, *shape))
    return ARSState(policy, drawn, jnp.zeros(()), none, jnp.zeros(obs_dim), *floats)

  def tried(state: ARSState, trial: Array) -> LinearPolicy:
    push = state.noise * state.directions[trial // 2] * jnp.where(trial % 2, -1.0, 1.0)
    return state.policy._replace(weights=state.policy.weights + push)

  def update(state: ARSState, returns: Array, key: Key) -> tuple[ARSState, Metrics]:
    unit = magnitude(returns)  # so that squares neither overflow nor vanish
    returns = returns / unit
    sound = jnp.isfinite(returns).all(1)
    _, best = jax.lax.top_k(jnp.where(sound, returns.max(1), -jnp.inf), top)
    middle = jnp.mean(returns, where=sound[:, None])
    returns = jnp.where(sound[:, None], returns, jnp.where(sound.any(), middle, 0.0))
    kept = returns[best]
    spread = jnp.maximum(kept.std(), 1e-6)
    slope = einsum("n,nao->ao", kept[:, 0] - kept[:, 1], state.directions[best])
    weights = state.policy.weights + state.step_size / (top * spread) * slope
    policy = LinearPolicy(weights, _scaling(state))
    state = state._replace(policy=policy, directions=normal(key, state.directions.shape))
    return state, {"return_of_trials": unit * returns.mean(), "spread_of_trials": unit * spread}

  def act(policy: LinearPolicy, obs: Array) -> Array:
    unit = matmul(policy.weights, normalize(policy.scaling, obs))
    return to_bounds(jnp.clip(unit, -1.0, 1.0), low, high)

  return ARS(*map(single, (init, tried, _see, update, act)))


def _see(state: ARSState, obs: Array) -> ARSState:
  """Counts one state in, as Welford does, if its square is finite."""
  count, error = state.count + 1, obs - state.mean
  mean = state.mean + error / count
  seen = state._replace(count=count, mean=mean, square=state.square + error * (obs - mean))
  sound = jnp.isfinite(seen.mean).all() & jnp.isfinite(seen.square).all()
  return jax.tree.map(lambda new, old: jnp.where(sound, new, old), seen, state)


def _scaling(state: ARSState) -> Normalizer:
  """Returns mean and deviation of the states seen; 1 where they do not vary."""
  std = jnp.sqrt(state.square / jnp.maximum(state.count, 1))
  return Normalizer(state.mean, jnp.where(std < 1e-5, 1.0, std))
