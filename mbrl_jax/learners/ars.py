"""Augmented random search: finite-difference ascent on a linear policy.

The policy is ``a = W (s - mean) / std``, in units in which the bounds are -1 and 1, clipped to
them. For each of ``N`` directions ``d_i ~ N(0, 1)`` the policies ``W + nu d_i`` and
``W - nu d_i`` run one episode each, with returns ``r_i+`` and ``r_i-``. The update sums over
the ``b`` directions with the largest ``max(r_i+, r_i-)``, with the deviation ``sigma`` of their
``2 b`` returns::

  W <- W + alpha / (b sigma) sum_i (r_i+ - r_i-) d_i

``mean`` and ``std`` are those of all states seen before the directions were drawn.

Source: Mania, Guy and Recht 2018, "Simple random search provides a competitive approach to
reinforcement learning", algorithm 2, V2-t; from memory.

Deviations:
  * Non-finite states are left out of the statistics; a direction with a non-finite return ranks
    last and does not change the policy.
  * Actions are scaled and clipped to the bounds.
  * No survival bonus is subtracted from the rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
  """A linear policy over normalised observations.

  Attributes:
    weights: ``W [A, O]``.
    scaling: mean and deviation of the states ``[O]``.
  """

  weights: Array
  scaling: Normalizer


class ARSState(NamedTuple):
  """State of the learner.

  Attributes:
    policy: the current policy.
    directions: the current directions, ``[N, A, O]``.
    count, mean, square: statistics of the states seen: their number ``[]``, their mean ``[O]``,
      and the sum of their squared distances from it ``[O]``.
    step_size: ``alpha``, ``[]``.
    noise: ``nu``, ``[]``.
  """

  policy: LinearPolicy
  directions: Array
  count: Array  # type: ignore[assignment]  # hides tuple.count, which nothing here calls
  mean: Array
  square: Array
  step_size: Array
  noise: Array


class ARS(NamedTuple):
  """The learner as pure functions.

  Attributes:
    init: ``(key) -> ARSState``.
    perturbed: ``(state, trial []) -> LinearPolicy``: trial ``2 i`` is ``W + nu d_i``, trial
      ``2 i + 1`` is ``W - nu d_i``.
    observe: ``(state, obs [O]) -> state``, adds a state to the statistics.
    update: ``(state, returns [N, 2], key) -> (state, metrics)``, updates the policy and draws
      new directions.
    act: ``(policy, obs [O]) -> action [A]``.
  """

  init: Callable[[Key], ARSState]
  perturbed: Callable[[ARSState, Array], LinearPolicy]
  observe: Callable[[ARSState, Array], ARSState]
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
  """Makes an augmented random search learner.

  Args:
    obs_dim: ``O``, size of the observation that the policy takes.
    action_low, action_high: bounds ``[A]``, finite.
    directions: ``N``.
    top: ``b``, at most ``N``.
    step_size: ``alpha``.
    noise: ``nu``.

  Raises:
    ValueError: sizes that are not positive, more top directions than directions.

  Example:
    >>> import jax
    >>> ars = make_ars(3, [-2.0], [2.0], directions=2, top=1, noise=0.5)
    >>> state = ars.init(jax.random.key(0))
    >>> returns = jax.numpy.array([[1.0, 0.0], [0.5, 2.0]])  # of each direction, either sign
    >>> state, metrics = ars.update(state, returns, jax.random.key(1))
    >>> ars.act(state.policy, jax.numpy.zeros(3))
    Array([0.], dtype=float32)
  """
  positive(obs_dim=obs_dim, directions=directions, step_size=step_size, noise=noise)
  between(1, directions, top=top)
  low, high = np.asarray(action_low, np.float32), np.asarray(action_high, np.float32)
  shape = (len(low), obs_dim)

  def init(key: Key) -> ARSState:
    policy = LinearPolicy(jnp.zeros(shape), identity_normalizer(obs_dim))
    floats = jnp.float32(step_size), jnp.float32(noise)
    none = jnp.zeros(obs_dim)
    drawn = normal(key, (directions, *shape))
    return ARSState(policy, drawn, jnp.zeros(()), none, jnp.zeros(obs_dim), *floats)

  def perturbed(state: ARSState, trial: Array) -> LinearPolicy:
    step = state.noise * state.directions[trial // 2] * jnp.where(trial % 2, -1.0, 1.0)
    return state.policy._replace(weights=state.policy.weights + step)

  def act(policy: LinearPolicy, obs: Array) -> Array:
    unit = matmul(policy.weights, normalize(policy.scaling, obs))
    return to_bounds(jnp.clip(unit, -1.0, 1.0), jnp.asarray(low), jnp.asarray(high))

  return ARS(
    single(init),
    single(perturbed),
    single(_observe),
    single(partial(_update, top)),
    single(act),
  )


def _observe(state: ARSState, obs: Array) -> ARSState:
  """Adds one state to the statistics by Welford's update, if its square is finite."""
  count, error = state.count + 1, obs - state.mean
  mean = state.mean + error / count
  seen = state._replace(count=count, mean=mean, square=state.square + error * (obs - mean))
  finite = jnp.isfinite(seen.mean).all() & jnp.isfinite(seen.square).all()
  return jax.tree.map(lambda new, old: jnp.where(finite, new, old), seen, state)


def _update(top: int, state: ARSState, returns: Array, key: Key) -> tuple[ARSState, Metrics]:
  """Updates the policy from the ``top`` directions, and draws new directions."""
  unit = magnitude(returns)  # so that squares neither overflow nor underflow
  returns = returns / unit
  finite = jnp.isfinite(returns).all(1)
  _, best = jax.lax.top_k(jnp.where(finite, returns.max(1), -jnp.inf), top)
  mean = jnp.mean(returns, where=finite[:, None])
  returns = jnp.where(finite[:, None], returns, jnp.where(finite.any(), mean, 0.0))
  elite = returns[best]
  std = jnp.maximum(elite.std(), 1e-6)
  gradient = einsum("n,nao->ao", elite[:, 0] - elite[:, 1], state.directions[best])
  weights = state.policy.weights + state.step_size / (top * std) * gradient
  policy = LinearPolicy(weights, _scaling(state))
  state = state._replace(policy=policy, directions=normal(key, state.directions.shape))
  return state, {"return_of_trials": unit * returns.mean(), "spread_of_trials": unit * std}


def _scaling(state: ARSState) -> Normalizer:
  """Returns mean and deviation of the states seen, the latter 1 where they are constant."""
  std = jnp.sqrt(state.square / jnp.maximum(state.count, 1))
  return Normalizer(state.mean, jnp.where(std < 1e-5, 1.0, std))
