"""SAC: soft actor-critic, the model-free baseline.

Uniform actions for ``init_steps`` environment steps; from then on ``agent.updates_per_step``
gradient steps per environment step, on transitions of the whole run.

Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts import replay
from mbrl_jax.algorithms.parts.actor_critic import (
  ActorCritic,
  ActorCriticConfig,
  critic,
  deploy,
  make_actor_critic,
  policy_params,
  zero_metrics,
)
from mbrl_jax.algorithms.parts.warm_up import warm_up_actions
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.types import (
  Algorithm,
  Array,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config(replay.ReplayConfig):
  """SAC; run length and buffer fields are those of ``ReplayConfig``.

  Attributes:
    agent: see its class.
  """

  update_every: int = 50
  agent: ActorCriticConfig = field(default_factory=ActorCriticConfig)


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    sac: the learner's state.
    buffer: transitions.
    metrics: of the latest gradient step.
    ran: 1 if warm-up is over, ``[]`` float32.
  """

  sac: SACState
  buffer: ring.Ring
  metrics: Metrics
  ran: Array


@in_single_precision
def make_sac_algorithm(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes SAC for a task.

  Raises:
    ValueError: sizes that are not positive, a buffer smaller than a batch.
  """
  budget = replay.step_budget(config, config.agent.batch_size)
  agent = make_actor_critic(spec, config.agent)
  return Algorithm(
    init=lambda key, envs=1: _init(spec, config, agent, key, envs),
    params=lambda state: policy_params(state.learn.sac),
    act=agent.act,
    reset=lambda params, left: left,
    observe=_observe,
    learn=lambda state, steps: _learn(config, agent, state, steps),
    update=_report,
    budget=budget,
    deploy=deploy,
    plans=False,
    diagnostics=Diagnostics(q=critic(spec, agent), discount=agent.discount),
  )


def _init(spec: EnvSpec, config: Config, agent: ActorCritic, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  sac_key, key = jax.random.split(key)
  sac, buffer = agent.init(sac_key), replay.init_buffer(config, spec)
  metrics = zero_metrics(agent, sac, replay.blank_transition(spec), config.agent.batch_size)
  learn = Learn(sac, buffer, metrics, jnp.zeros(()))
  left = warm_up_actions(config.init_steps, envs)
  return TrainState(learn, left, None, key, jnp.zeros((), jnp.int32))


def _observe(state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions."""
  buffer = ring.add_batch(state.learn.buffer, transitions)
  return state._replace(learn=state.learn._replace(buffer=buffer))


def _learn(config: Config, agent: ActorCritic, state: TrainState, steps: int) -> TrainState:
  """Takes the gradient steps due."""
  learn, ready = state.learn, (state.carry == 0).all()
  key, update_key = jax.random.split(state.key)
  sample = lambda key: ring.sample(learn.buffer, key, config.agent.batch_size)
  sac, metrics = agent.update(learn.sac, sample, update_key, ready, state.steps, steps)
  learn = Learn(sac, learn.buffer, metrics, ready.astype(jnp.float32))
  return state._replace(learn=learn, key=key)


def _report(state: TrainState) -> tuple[TrainState, Metrics]:
  """Returns the metrics of the latest gradient step."""
  return state, {**state.learn.metrics, "ran": state.learn.ran}
