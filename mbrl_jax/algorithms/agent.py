"""The actor-critic of the algorithms that learn a policy, from configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.learners import SAC, SACState, SACTuning, make_sac
from mbrl_jax.ops.validate import between, positive, prefixed
from mbrl_jax.types import Array, EnvSpec, Key, Metrics, TrainState, Transition


@dataclass(frozen=True)
class AgentConfig:
  """Soft actor-critic.

  Attributes:
    hidden: widths of the hidden layers of actor and critics.
    batch_size: transitions in a gradient step.
    repeat: gradient steps for each environment step.
    discount: of the returns.
    tau: share by which the target nets move in each gradient step.
    learning_rate: Adam's.
    target_entropy: of the policy, in nats of actions scaled to -1 and 1; None: minus one for
      each action.
    precision: of the matrix products, float32 or bfloat16.
  """

  hidden: tuple[int, ...] = (256, 256)
  batch_size: int = 256
  repeat: int = 1
  discount: float = 0.99
  tau: float = 5e-3
  learning_rate: float = 3e-4
  target_entropy: float | None = None
  precision: str = "float32"


class PolicyAct(NamedTuple):
  """What acting with a policy needs.

  Attributes:
    actor: parameters of the policy.
    random: uniform actions still to take before, ``[]`` int32.
    greedy: act by the mean instead of a sample, ``[]`` bool.
  """

  actor: Any
  random: Array
  greedy: Array


class Agent(NamedTuple):
  """The actor-critic of a task.

  Attributes:
    sac: the learner, over encoded observations.
    discount: of the returns.
    init: ``(key) -> SACState``.
    act: ``(PolicyAct, obs [O], key) -> (action [A], PolicyAct, info)``; an ``ActFn``.
    update: ``(SACState, sample, key, ready) -> (SACState, metrics)``: ``config.repeat``
      gradient steps, each on ``sample(key)``, transitions with leaves ``[B, ...]``, or none
      unless ``ready``, ``[] bool``.
  """

  sac: SAC
  discount: float
  init: Callable[[Key], SACState]
  act: Callable[[PolicyAct, Array, Key], tuple[Array, PolicyAct, Metrics]]
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
  positive(batch_size=config.batch_size, repeat=config.repeat)
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
  tuning = SACTuning(config.discount, config.tau, config.learning_rate, entropy)
  return Agent(
    sac=sac,
    discount=config.discount,
    init=lambda key: sac.init(key, tuning),
    act=lambda act, obs, key: _act(spec, sac, act, obs, key),
    update=lambda *args: _update(spec, sac, config.repeat, *args),
  )


def start_acting(state: SACState, random: int) -> PolicyAct:
  """Returns what acting needs before the first step."""
  return PolicyAct(state.nets.actor, jnp.asarray(random, jnp.int32), jnp.zeros((), bool))


def deploy(act: PolicyAct) -> PolicyAct:
  """Returns what an evaluation or a robot acts with: the mean, from the first step on."""
  return PolicyAct(act.actor, jnp.zeros_like(act.random), jnp.ones_like(act.greedy))


def critic(spec: EnvSpec, agent: Agent) -> Callable[[TrainState, Array, Array], Array]:
  """Returns the ``q`` of ``Insight`` for algorithms with ``learn.sac`` in their state."""
  return lambda state, obs, action: agent.sac.q(
    state.learn.sac.nets.critics, spec.encode(obs), action
  )


def _act(spec, sac, act, obs, key) -> tuple[Array, PolicyAct, Metrics]:
  """Takes a uniform action while any are left, then the policy's."""
  random_key, policy_key = jax.random.split(key)
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  uniform = jax.random.uniform(random_key, low.shape, minval=low, maxval=high)
  chosen = sac.act(act.actor, spec.encode(obs), policy_key, act.greedy)
  random = act.random > 0
  action = jnp.where(random, uniform, chosen)
  left = jnp.maximum(act.random - 1, 0)
  return action, act._replace(random=left), {"random": random.astype(jnp.float32)}


def _update(
  spec: EnvSpec,
  sac: SAC,
  repeat: int,
  state: SACState,
  sample: Callable[[Key], Transition],
  key: Key,
  ready: Array,
) -> tuple[SACState, Metrics]:
  """Takes gradient steps; returns the metrics of the last, zeros without any."""

  def encoded(key: Key) -> Transition:
    batch = sample(key)
    encode = jax.vmap(spec.encode)
    return batch._replace(obs=encode(batch.obs), next_obs=encode(batch.next_obs))

  def one(state: SACState, key: Key) -> tuple[SACState, Metrics]:
    sample_key, update_key = jax.random.split(key)
    return sac.update(state, encoded(sample_key), update_key)

  def step(i: Array, carry: tuple) -> tuple:
    return one(carry[0], jax.random.fold_in(key, i))

  # Of the two loops the inner has a length that the compiler knows: on a GPU it runs without
  # the host. The outer is a condition that many seeds can share.
  steps = lambda _, carry: jax.lax.fori_loop(0, repeat, step, carry)
  shapes = jax.eval_shape(one, state, key)[1]
  none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return jax.lax.fori_loop(0, jnp.int32(ready), steps, (state, none))
