"""The actor-critic of the algorithms that learn a policy, from configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.warm_up import one_less, uniform_action
from mbrl_jax.learners import SAC, SACHyperparams, SACState, make_sac
from mbrl_jax.ops.fraction import floor_share
from mbrl_jax.ops.validate import between, positive, prefixed
from mbrl_jax.types import Array, EnvSpec, Key, Metrics, Params, TrainState, Transition


@dataclass(frozen=True)
class AgentConfig:
  """Soft actor-critic.

  Attributes:
    hidden: widths of the hidden layers of actor and critics.
    batch_size: transitions in a gradient step.
    updates_per_step: gradient steps for each environment step; a fraction such as 1/64 takes
      one each 64 steps.
    discount: of the returns.
    tau: share by which the target nets move in each gradient step.
    learning_rate: Adam's.
    target_entropy: of the policy, in nats of actions scaled to -1 and 1; None: minus one for
      each action.
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
  """What acting with a policy needs.

  Attributes:
    actor: parameters of the policy.
    greedy: act by the mean instead of a sample, ``[]`` bool.
  """

  actor: Params
  greedy: Array


class Agent(NamedTuple):
  """The actor-critic of a task.

  Attributes:
    sac: the learner, over encoded observations.
    discount: of the returns.
    init: ``(key) -> SACState``.
    act: ``(PolicyParams, left [], obs [O], key) -> (action [A], left [], info)``; an ``ActFn``
      whose carry is the number of uniform actions still to take before.
    update: ``(SACState, sample, key, ready, total, steps) -> (SACState, metrics)``: the
      gradient steps that the last ``steps`` (static) of ``total`` environment steps are worth,
      each on ``sample(key)``, transitions with leaves ``[B, ...]``; none unless ``ready``,
      ``[] bool``. Metrics are of the last one, zeros without any.
  """

  sac: SAC
  discount: float
  init: Callable[[Key], SACState]
  act: Callable[[PolicyParams, Array, Array, Key], tuple[Array, Array, Metrics]]
  update: Callable[..., tuple[SACState, Metrics]]


@prefixed("agent")
def make_agent(spec: EnvSpec, config: AgentConfig, *, value: bool = False) -> Agent:
  """Makes the actor-critic of a task.

  Args:
    spec: the task; the nets are given ``spec.encode(obs)``.
    config: sizes and rates.
    value: also learn the value of states.

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
  return Agent(
    sac=sac,
    discount=config.discount,
    init=lambda key: sac.init(key, hyperparams),
    act=lambda params, left, obs, key: _act(spec, sac, params, left, obs, key),
    update=lambda *args: _update(spec, sac, config.updates_per_step, *args),
  )


def policy_params(state: SACState) -> PolicyParams:
  """Returns what acting with the policy, and exploring, needs."""
  return PolicyParams(state.nets.actor, jnp.zeros((), bool))


def deploy(params: PolicyParams) -> tuple[PolicyParams, Array]:
  """Returns what an evaluation or a robot acts with: the mean, from the first step on."""
  return params._replace(greedy=jnp.ones((), bool)), jnp.zeros((), jnp.int32)


def no_metrics(agent: Agent, state: SACState, example: Transition, batch_size: int) -> Metrics:
  """Returns the metrics of a learner that has taken no gradient step."""
  zeros = lambda x: jnp.zeros((batch_size, *x.shape), x.dtype)
  batch = lambda key: jax.tree.map(zeros, example)
  none, key = jnp.zeros((), jnp.int32), jax.random.key(0)
  shapes = jax.eval_shape(lambda: agent.update(state, batch, key, none > 0, none, 1)[1])
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def critic(spec: EnvSpec, agent: Agent) -> Callable[[TrainState, Array, Array], Array]:
  """Returns the ``q`` of ``Diagnostics`` for algorithms with ``learn.sac`` in their state."""
  return lambda state, obs, action: agent.sac.q(
    state.learn.sac.nets.critics, spec.encode(obs), action
  )


def _act(spec, sac, params, left, obs, key) -> tuple[Array, Array, Metrics]:
  """Takes a uniform action while any are left, then the policy's."""
  random_key, policy_key = jax.random.split(key)
  uniform = uniform_action(spec, random_key)
  chosen = sac.act(params.actor, spec.encode(obs), policy_key, params.greedy)
  random = left > 0
  action = jnp.where(random, uniform, chosen)
  return action, one_less(left), {"random": random.astype(jnp.float32)}


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
  """Takes gradient steps, see ``Agent``."""

  def encoded(key: Key) -> Transition:
    batch = sample(key)
    encode = jax.vmap(spec.encode)
    return batch._replace(obs=encode(batch.obs), next_obs=encode(batch.next_obs))

  def one(state: SACState, key: Key) -> tuple[SACState, Metrics]:
    sample_key, update_key = jax.random.split(key)
    return sac.update(state, encoded(sample_key), update_key)

  # Of the two loops the inner has a length that the compiler knows: on a GPU it runs without
  # the host. The outer is a condition that many seeds can share.
  inner, outer = steps_worth(rate, total, steps)
  number = lambda j, i: i if isinstance(outer, int) else j * inner + i
  step = lambda j: lambda i, carry: one(carry[0], jax.random.fold_in(key, number(j, i)))
  round_of = lambda j, carry: jax.lax.fori_loop(0, inner, step(j), carry)
  shapes = jax.eval_shape(one, state, key)[1]
  none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return jax.lax.fori_loop(0, jnp.int32(ready) * outer, round_of, (state, none))


def steps_worth(rate: float, total: Array, steps: int) -> tuple[int, int | Array]:
  """Returns how many gradient steps the last ``steps`` of ``total`` are worth.

  Of ``n`` steps in all ``floor(n rate)`` are taken, however they come bundled.

  Returns:
    Two factors, the first of which is known when it is traced.
  """
  whole, share = int(rate // 1), rate % 1
  if not share:
    return whole * steps, 1
  more = floor_share(total, share) - floor_share(total - steps, share)
  return 1, whole * steps + more
