"""The soft actor-critic of algorithms that learn a policy, from configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.warm_up import decrement, uniform_action
from mbrl_jax.learners import SAC, SACHyperparams, SACState, make_sac
from mbrl_jax.ops.fraction import floor_share
from mbrl_jax.ops.validate import between, positive, prefixed
from mbrl_jax.types import ActFn, Array, EnvSpec, Key, Metrics, Params, TrainState, Transition


@dataclass(frozen=True)
class ActorCriticConfig:
  """Soft actor-critic.

  Attributes:
    hidden: widths of the hidden layers of actor and critics.
    batch_size: transitions per gradient step.
    updates_per_step: gradient steps per environment step; a fraction such as 1/64 takes one
      every 64 steps.
    discount: of the returns.
    tau: Polyak step of the target networks in each gradient step.
    learning_rate: Adam's.
    target_entropy: of the policy, in nats of actions scaled to -1 and 1; None: minus the number
      of actions.
    precision: of the matrix products, float32 or bfloat16.
  """

  hidden: tuple[int, ...] = (256, 256)
  batch_size: int = 256
  updates_per_step: float = 1.0
  discount: float = 0.99
  tau: float = 5e-3
  learning_rate: float = 3e-4
  target_entropy: float | None = None
  precision: str = "float32"


class PolicyParams(NamedTuple):
  """Parameters for acting with the policy.

  Attributes:
    actor: parameters of the policy.
    greedy: act by the mean instead of a sample, ``[]`` bool.
  """

  actor: Params
  greedy: Array


class ActorCritic(NamedTuple):
  """The actor-critic of a task.

  Attributes:
    sac: the learner, over encoded observations.
    discount: of the returns.
    init: ``(key) -> SACState``.
    act: ``(PolicyParams, left [], obs [O], key) -> (action [A], left [], info)``; an ``ActFn``
      whose carry is the number of uniform warm-up actions left.
    update: ``(SACState, sample, key, ready, total, steps) -> (SACState, metrics)``: takes the
      gradient steps due for the last ``steps`` (static) of ``total`` environment steps, each on
      ``sample(key)``, transitions with leaves ``[B, ...]``; none unless ``ready``, ``[] bool``.
      Metrics are those of the last gradient step, or zeros.
  """

  sac: SAC
  discount: float
  init: Callable[[Key], SACState]
  act: ActFn
  update: Callable[..., tuple[SACState, Metrics]]


@prefixed("agent")
def make_actor_critic(
  spec: EnvSpec, config: ActorCriticConfig, *, value: bool = False
) -> ActorCritic:
  """Makes the actor-critic of a task.

  Args:
    spec: the task; the networks take ``spec.encode(obs)``.
    config: sizes and rates.
    value: also learn a state value function.

  Raises:
    ValueError: sizes or rates out of range.
  """
  positive(batch_size=config.batch_size, updates_per_step=config.updates_per_step)
  positive(learning_rate=config.learning_rate)
  between(0.0, 1.0, discount=config.discount, tau=config.tau)
  (size,) = jax.eval_shape(spec.encode, jnp.zeros(spec.obs_dim)).shape
  sac = make_sac(
    size,
    spec.action_low,
    spec.action_high,
    hidden=tuple(config.hidden),
    value=value,
    precision=config.precision,
  )
  entropy = config.target_entropy
  entropy = -float(spec.action_dim) if entropy is None else entropy
  hyperparams = SACHyperparams(config.discount, config.tau, config.learning_rate, entropy)
  return ActorCritic(
    sac=sac,
    discount=config.discount,
    init=lambda key: sac.init(key, hyperparams),
    act=lambda params, carry, obs, key: _act(spec, sac, params, carry, obs, key),
    update=lambda *args: _update(spec, sac, config.updates_per_step, *args),
  )


def policy_params(state: SACState) -> PolicyParams:
  """Returns the parameters for acting with exploration."""
  return PolicyParams(state.nets.actor, jnp.zeros((), bool))


def deploy(params: PolicyParams) -> tuple[PolicyParams, Array]:
  """Returns parameters and carry for deployment: the mean action, no warm-up."""
  return params._replace(greedy=jnp.ones((), bool)), jnp.zeros((), jnp.int32)


def zero_metrics(
  agent: ActorCritic, state: SACState, example: Transition, batch_size: int
) -> Metrics:
  """Returns zeros in the shapes of the learner's metrics."""
  zeros = lambda x: jnp.zeros((batch_size, *x.shape), x.dtype)
  batch = lambda key: jax.tree.map(zeros, example)
  none, key = jnp.zeros((), jnp.int32), jax.random.key(0)
  shapes = jax.eval_shape(lambda: agent.update(state, batch, key, none > 0, none, 1)[1])
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def critic(spec: EnvSpec, agent: ActorCritic) -> Callable[[TrainState, Array, Array], Array]:
  """Returns the ``q`` of ``Diagnostics`` for algorithms with ``learn.sac`` in their state."""
  return lambda state, obs, action: agent.sac.q(
    state.learn.sac.nets.critics, spec.encode(obs), action
  )


def _act(
  spec: EnvSpec, sac: SAC, params: PolicyParams, left: Array, obs: Array, key: Key
) -> tuple[Array, Array, Metrics]:
  """Takes a uniform action during warm-up, then the policy's."""
  random_key, policy_key = jax.random.split(key)
  uniform = uniform_action(spec, random_key)
  chosen = sac.act(params.actor, spec.encode(obs), policy_key, params.greedy)
  random = left > 0
  action = jnp.where(random, uniform, chosen)
  return action, decrement(left), {"random": random.astype(jnp.float32)}


def _update(
  spec: EnvSpec,
  sac: SAC,
  rate: float,
  state: SACState,
  sample: Callable[[Key], Transition],
  key: Key,
  ready: Array,
  total: Array,
  steps: int,
) -> tuple[SACState, Metrics]:
  """Takes the gradient steps due, see ``ActorCritic``."""

  def encoded(key: Key) -> Transition:
    batch = sample(key)
    encode = jax.vmap(spec.encode)
    return batch._replace(obs=encode(batch.obs), next_obs=encode(batch.next_obs))

  def one(state: SACState, key: Key) -> tuple[SACState, Metrics]:
    sample_key, update_key = jax.random.split(key)
    return sac.update(state, encoded(sample_key), update_key)

  # The inner loop has a static length, so a GPU runs it without the host. The outer loop is a
  # condition that seeds under vmap share.
  inner, outer = gradient_steps(rate, total, steps)
  number = lambda j, i: i if isinstance(outer, int) else j * inner + i
  step = lambda j: lambda i, carry: one(carry[0], jax.random.fold_in(key, number(j, i)))
  inner_loop = lambda j, carry: jax.lax.fori_loop(0, inner, step(j), carry)
  shapes = jax.eval_shape(one, state, key)[1]
  none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return jax.lax.fori_loop(0, jnp.int32(ready) * outer, inner_loop, (state, none))


def gradient_steps(rate: float, total: Array, steps: int) -> tuple[int, int | Array]:
  """Returns the number of gradient steps due for the last ``steps`` of ``total``.

  After ``n`` environment steps ``floor(n rate)`` have been due, however they are chunked.

  Returns:
    Two factors of the number; the first is static.
  """
  whole, share = int(rate // 1), rate % 1
  if not share:
    return whole * steps, 1
  more = floor_share(total, share) - floor_share(total - steps, share)
  return 1, whole * steps + more
