"""SAC: soft actor-critic, without a model; what the others are measured against.

Uniform actions for ``init_steps`` steps; from then on ``agent.repeat`` gradient steps after
each step of the environment, on transitions of all the past.

Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.agent import (
  Agent,
  AgentConfig,
  PolicyAct,
  critic,
  deploy,
  make_agent,
  start_acting,
)
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.algorithms.transitions import blank_transition, check_capacity
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Algorithm, Array, EnvSpec, Insight, Metrics, TrainState, Transition


@dataclass(frozen=True)
class Config:
  """SAC.

  Attributes:
    steps: environment steps of the run.
    init_steps: uniform actions before the policy acts and learns.
    capacity: transitions kept, the oldest go first; 0: all of the run.
    update_every: environment steps in one compiled call.
    agent: see its class.
  """

  steps: int = 20_000
  init_steps: int = 1000
  capacity: int = 0
  update_every: int = 50
  agent: AgentConfig = field(default_factory=AgentConfig)


class Learn(NamedTuple):
  """What learning needs besides acting.

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
  positive(steps=config.steps, init_steps=config.init_steps, update_every=config.update_every)
  capacity = check_capacity(config.capacity, config.steps, config.agent.batch_size)
  agent = make_agent(spec, config.agent)
  return Algorithm(
    init=lambda key: _init(spec, config, agent, capacity, key),
    reset=lambda act: act,
    act=agent.act,
    observe=lambda state, transition: _observe(config, agent, state, transition),
    update=_report,
    deploy=deploy,
    plans=False,
    insight=Insight(q=critic(spec, agent), discount=agent.discount),
  )


def _init(spec, config, agent: Agent, capacity: int, key) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  sac_key, key = jax.random.split(key)
  sac = agent.init(sac_key)
  buffer = ring.init(capacity, blank_transition(spec))
  none = jnp.zeros((), jnp.int32)
  sample = lambda key: ring.sample(buffer, key, config.agent.batch_size)
  metrics = agent.update(sac, sample, key, none > 0)[1]
  learn = Learn(sac, buffer, metrics, jnp.zeros(()))
  return TrainState(start_acting(sac, config.init_steps), learn, None, key, none)


def _observe(config, agent: Agent, state: TrainState, transition: Transition) -> TrainState:
  """Stores a transition and takes the gradient steps that it is worth."""
  learn = state.learn
  buffer = ring.add(learn.buffer, transition)
  ready = state.act.random == 0
  key, update_key = jax.random.split(state.key)
  sac, metrics = agent.update(
    learn.sac,
    lambda key: ring.sample(buffer, key, config.agent.batch_size),
    update_key,
    ready,
  )
  act: PolicyAct = state.act._replace(actor=sac.nets.actor)
  learn = Learn(sac, buffer, metrics, ready.astype(jnp.float32))
  return state._replace(act=act, learn=learn, key=key)


def _report(state: TrainState) -> tuple[TrainState, Metrics]:
  """Reports the latest gradient step."""
  return state, {**state.learn.metrics, "ran": state.learn.ran}
