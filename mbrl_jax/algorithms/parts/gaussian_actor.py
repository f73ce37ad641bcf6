"""The Gaussian policy of algorithms that learn by policy gradients, from configuration.

The policy acts in units in which the action bounds are -1 and 1. Its samples are unbounded:
the environment gets them clipped to the bounds, the learner gets them as they were sampled.
Each sample is held for ``action_repeat`` environment steps. Scaled observations are clipped to
10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.networks.actor import to_bounds
from mbrl_jax.networks.gaussian_policy import (
  GaussianPolicy,
  GaussianPolicyParams,
  make_gaussian_policy,
)
from mbrl_jax.ops.normalize import Normalizer, identity_normalizer, normalize
from mbrl_jax.ops.validate import ArgumentError, positive, prefixed
from mbrl_jax.types import ActFn, Array, EnvSpec, Key, Metrics

_LARGEST = 10.0


@dataclass(frozen=True)
class PolicyConfig:
  """The Gaussian policy.

  Attributes:
    hidden: widths of the hidden layers.
    log_std: initial log standard deviation of the actions, in units in which the bounds are -1
      and 1.
    min_log_std: lower bound of the log standard deviation.
    max_log_std: upper bound of the log standard deviation.
  """

  hidden: tuple[int, ...] = (64, 64)
  log_std: float = -0.5
  min_log_std: float = -2.5
  max_log_std: float = 1.0


class PolicyParams(NamedTuple):
  """Parameters for acting with the policy.

  Attributes:
    policy: its parameters.
    scaling: of the encoded observations.
    greedy: act by the mean instead of a sample, ``[]`` bool.
  """

  policy: GaussianPolicyParams
  scaling: Normalizer
  greedy: Array


class Acting(NamedTuple):
  """Carry of one environment.

  Attributes:
    sampled: the action held, before clipping, in units of the bounds ``[A]``.
    left: environment steps for which it is still held, ``[]`` int32.
    time: actions sampled since the episode began, ``[]`` int32.
  """

  sampled: Array
  left: Array
  time: Array


class GaussianActor(NamedTuple):
  """The policy of a task.

  Attributes:
    policy: over scaled observations.
    obs_dim: ``O'``, size of an encoded observation.
    observe: ``(scaling, obs [O]) -> [O']``, what the policy takes.
    act: an ``ActFn`` of ``PolicyParams`` and ``Acting``.
    carry: ``() -> Acting`` at the start of an episode.
    execute: ``(sampled [A]) -> action [A]``, clips to the bounds.
    action_repeat: environment steps for which an action is held.
  """

  policy: GaussianPolicy
  obs_dim: int
  observe: Callable[[Normalizer, Array], Array]
  act: ActFn
  carry: Callable[[], Acting]
  execute: Callable[[Array], Array]
  action_repeat: int

  def initial_carry(self, envs: int) -> Acting:
    """Returns the carry of ``envs`` environments, leaves ``[N, ...]``."""
    return jax.tree.map(lambda x: jnp.tile(x, (envs, *(1,) * x.ndim)), self.carry())

  def deploy(self, params: PolicyParams) -> tuple[PolicyParams, Acting]:
    """Returns parameters and carry for deployment: the mean action."""
    return params._replace(greedy=jnp.ones((), bool)), self.carry()


@prefixed("policy")
def make_gaussian_actor(
  spec: EnvSpec, config: PolicyConfig, *, action_repeat: int = 1
) -> GaussianActor:
  """Makes the policy of a task, over ``spec.encode(obs)``.

  Args:
    spec: the task.
    config: sizes and deviations.
    action_repeat: environment steps for which an action is held.

  Raises:
    ValueError: sizes that are not positive, an initial deviation outside its bounds.
  """
  positive(action_repeat=action_repeat, hidden=tuple(config.hidden))
  if not config.min_log_std <= config.log_std <= config.max_log_std:
    bounds = ("min_log_std", config.min_log_std), ("max_log_std", config.max_log_std)
    raise ArgumentError("log_std", config.log_std, "must be between {} and {}.", *bounds)
  (obs_dim,) = jax.eval_shape(spec.encode, jnp.zeros(spec.obs_dim)).shape
  policy = make_gaussian_policy(
    obs_dim, spec.action_dim, hidden=tuple(config.hidden), log_std=config.log_std
  )
  low, high = np.float32(spec.action_low), np.float32(spec.action_high)

  def observe(scaling: Normalizer, obs: Array) -> Array:
    return jnp.clip(normalize(scaling, spec.encode(obs)), -_LARGEST, _LARGEST)

  def carry() -> Acting:
    none = jnp.zeros((), jnp.int32)
    return Acting(jnp.zeros(spec.action_dim), none, none)

  def execute(sampled: Array) -> Array:
    return to_bounds(jnp.clip(sampled, -1.0, 1.0), jnp.asarray(low), jnp.asarray(high))

  def act(
    params: PolicyParams, carry: Acting, obs: Array, key: Key
  ) -> tuple[Array, Acting, Metrics]:
    seen = observe(params.scaling, obs)
    mean, sample = policy.mean(params.policy, seen), policy.sample(params.policy, seen, key)
    chosen = jnp.where(params.greedy, mean, sample)
    new = carry.left == 0
    sampled = jnp.where(new, chosen, carry.sampled)
    left = jnp.where(new, action_repeat, carry.left) - 1
    return execute(sampled), Acting(sampled, left, carry.time + new), {}

  return GaussianActor(policy, obs_dim, observe, act, carry, execute, action_repeat)


def reset_acting(params: PolicyParams, carry: Acting) -> Acting:
  """Returns the carry at the start of an episode."""
  del params
  return jax.tree.map(jnp.zeros_like, carry)


def masked_scaling(actor: GaussianActor, obs_scale: Sequence[float]) -> Normalizer:
  """Returns the scaling of observations by constant factors; none: all 1.

  Raises:
    ValueError: factors that are not positive, or not one for each number of the observation.
  """
  if not obs_scale:
    return identity_normalizer(actor.obs_dim)
  positive(obs_scale=tuple(obs_scale))
  if len(obs_scale) != actor.obs_dim:
    raise ArgumentError(
      "obs_scale",
      tuple(obs_scale),
      f"has {len(obs_scale)} factors for an encoded observation of {actor.obs_dim} numbers.",
    )
  return Normalizer(jnp.zeros(actor.obs_dim), 1 / jnp.asarray(obs_scale, jnp.float32))
