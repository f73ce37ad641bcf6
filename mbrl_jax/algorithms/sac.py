"""SAC: soft actor-critic, without a model; what the others are measured against.

Uniform actions for ``init_steps`` steps; from then on ``agent.updates_per_step`` gradient steps
for each step of an environment, on transitions of all the past.

Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts import replay
from mbrl_jax.algorithms.parts.actor_critic import (
  Agent,
  AgentConfig,
  critic,
  deploy,
  make_agent,
  no_metrics,
  policy_params,
)
from mbrl_jax.algorithms.parts.warm_up import actions_left
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
  """SAC; how long it runs and what it keeps, see ``ReplayConfig``.

  Attributes:
    agent: see its class.
  """

  update_every: int = 50
  agent: AgentConfig = field(default_factory=AgentConfig)


class Learn(NamedTuple):
  """What was learned, and what learning needs.

  Attributes:
    sac: the learner's state.
    buffer: transitions.
    metrics: of the latest gradient step.
    ran: whether there was one, ``[]`` float32.
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
  budget = replay.counted_in_steps(config, config.agent.batch_size)
  agent = make_agent(spec, config.agent)
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


def _init(spec: EnvSpec, config: Config, agent: Agent, key: Key, envs: int) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  sac_key, key = jax.random.split(key)
  sac, buffer = agent.init(sac_key), replay.empty(config, spec)
  metrics = no_metrics(agent, sac, replay.blank_transition(spec), config.agent.batch_size)
  learn = Learn(sac, buffer, metrics, jnp.zeros(()))
  left = actions_left(config.init_steps, envs)
  return TrainState(learn, left, None, key, jnp.zeros((), jnp.int32))


def _observe(state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions."""
  buffer = ring.add_batch(state.learn.buffer, transitions)
  return state._replace(learn=state.learn._replace(buffer=buffer))


def _learn(config: Config, agent: Agent, state: TrainState, steps: int) -> TrainState:
  """Takes the gradient steps that environment steps are worth."""
  learn, ready = state.learn, (state.carry == 0).all()
  key, update_key = jax.random.split(state.key)
  sample = lambda key: ring.sample(learn.buffer, key, config.agent.batch_size)
  sac, metrics = agent.update(learn.sac, sample, update_key, ready, state.steps, steps)
  learn = Learn(sac, learn.buffer, metrics, ready.astype(jnp.float32))
  return state._replace(learn=learn, key=key)


def _report(state: TrainState) -> tuple[TrainState, Metrics]:
  """Reports the latest gradient step."""
  return state, {**state.learn.metrics, "ran": state.learn.ran}
