"""MBPO: soft actor-critic on short rollouts of a learned ensemble.

Every ``update_every`` environment steps the ensemble is fitted to all real transitions, and
the policy is rolled out in it from real states, into a second buffer. For each environment step
the actor-critic takes ``agent.updates_per_step`` gradient steps on batches with a share
``real_ratio_schedule`` of real transitions. The schedules count epochs of ``epoch_length``
environment steps.

Source: Janner et al. 2019, "When to Trust Your Model: Model-Based Policy Optimization", and the
released code.

Deviations:
  * The ensemble is first fitted after the random steps, not before each of them.
  * Transitions are available for learning at once, not only when their episode is over.
  * At each step of a rollout the rows are split evenly among the elites, not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
from mbrl_jax.algorithms.parts.epoch_schedule import at_epoch, check_schedule, floor_at_epoch
from mbrl_jax.algorithms.parts.model_rollouts import RolloutFn, policy_rollouts
from mbrl_jax.algorithms.parts.warm_up import warm_up_actions
from mbrl_jax.algorithms.parts.world_model import (
  WorldModel,
  WorldModelConfig,
  WorldModelState,
  elite_params,
  fitted,
  make_world_model,
)
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.ops.validate import ArgumentError, positive
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
  """MBPO; run length and buffer fields are those of ``ReplayConfig``.

  Attributes:
    epoch_length: environment steps of one epoch of the schedules.
    fit_until: epoch from which the model is no longer refitted; -1: always refitted.
    rollout_batch_size: start states of the rollouts after each fit, a multiple of
      world_model.elites.
    rollout_schedule: length of the rollouts over epochs, rounded down.
    real_ratio_schedule: share of real transitions in a batch over epochs; 1: no model.
    retain_epochs: epochs for which rollouts are kept.
    agent, world_model: see their classes.
  """

  init_steps: int = 5000
  epoch_length: int = 1000
  fit_until: int = -1
  rollout_batch_size: int = 100_000
  rollout_schedule: tuple[float, ...] = (20, 150, 1, 1)
  real_ratio_schedule: tuple[float, ...] = (0, 1, 0.05, 0.05)
  retain_epochs: int = 1
  agent: ActorCriticConfig = field(
    default_factory=lambda: ActorCriticConfig(updates_per_step=20)
  )
  world_model: WorldModelConfig = field(default_factory=WorldModelConfig)


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    sac: the actor-critic's state.
    world_model: the ensemble's state.
    real: transitions of the environment.
    model: transitions of the rollouts.
    metrics: of the latest gradient step of the actor-critic.
    run_key: constant over the run; folded with the epoch for ``epoch_key``.
    hyperparams: of the rollouts.
  """

  sac: SACState
  world_model: WorldModelState
  real: ring.Ring
  model: ring.Ring
  metrics: Metrics
  run_key: Key
  hyperparams: Any


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  agent: ActorCritic
  world_model: WorldModel
  rollouts: RolloutFn
  hyperparams: Any


@in_single_precision
def make_mbpo(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes MBPO for a task.

  Raises:
    ValueError: an invalid schedule, sizes that are not positive or do not fit each other.
  """
  agent = make_actor_critic(spec, config.agent)
  world_model = make_world_model(spec, config.world_model)
  rollouts = policy_rollouts(agent, world_model.dynamics)
  return assemble(spec, config, agent, world_model, rollouts)


def assemble(
  spec: EnvSpec,
  config: Config,
  agent: ActorCritic,
  world_model: WorldModel,
  rollouts: RolloutFn,
  hyperparams: Any = (),
) -> Algorithm:
  """Makes an actor-critic on real transitions and model rollouts from its parts.

  Args:
    spec: the task.
    config: MBPO's, or one with the same fields.
    agent: the actor-critic.
    world_model: the ensemble.
    rollouts: fills the buffer of model transitions.
    hyperparams: of the rollouts, a tree of arrays.

  Raises:
    ValueError: see ``make_mbpo``.
  """
  _check(config)
  budget = replay.step_budget(config, config.agent.batch_size, epoch_length=config.epoch_length)
  parts = _Parts(spec, config, agent, world_model, rollouts, hyperparams)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=lambda state: policy_params(state.learn.sac),
    act=agent.act,
    reset=lambda params, left: left,
    observe=_observe,
    learn=lambda state, steps: _learn(parts, state, steps),
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=deploy,
    plans=False,
    diagnostics=Diagnostics(
      world_model.dynamics,
      lambda state: elite_params(state.learn.world_model),
      critic(spec, agent),
      agent.discount,
    ),
  )


def max_rollout_length(config: Config) -> int:
  """Returns the largest rollout length of the schedule."""
  return int(max(config.rollout_schedule[2:]))


def _check(config: Config) -> None:
  """Checks the configuration, see ``make_mbpo``."""
  names = ("epoch_length", "rollout_batch_size", "retain_epochs")
  positive(**{name: getattr(config, name) for name in names})
  check_schedule("rollout_schedule", config.rollout_schedule, 1, float("inf"))
  check_schedule("real_ratio_schedule", config.real_ratio_schedule, 0.0, 1.0)
  if config.rollout_batch_size % config.world_model.elites:
    text = "must be a multiple of {}: the start states are split evenly among the elites."
    raise ArgumentError(
      "rollout_batch_size",
      config.rollout_batch_size,
      text,
      ("world_model.elites", config.world_model.elites),
    )


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  spec, config = parts.spec, parts.config
  sac_key, world_key, key, run_key = jax.random.split(key, 4)
  sac, blank = parts.agent.init(sac_key), replay.blank_transition(spec)
  calls = -(-config.retain_epochs * config.epoch_length // config.update_every)
  rows = calls * max_rollout_length(config) * config.rollout_batch_size
  model = ring.init(rows, blank, count_dropped=True)
  metrics = zero_metrics(parts.agent, sac, blank, config.agent.batch_size)
  world_model = parts.world_model.init(world_key)
  hyperparams = jax.tree.map(jnp.asarray, parts.hyperparams)
  real = replay.init_buffer(config, spec)
  learn = Learn(sac, world_model, real, model, metrics, run_key, hyperparams)
  left = warm_up_actions(config.init_steps, envs)
  return TrainState(learn, left, None, key, jnp.zeros((), jnp.int32))


def _observe(state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions."""
  real = ring.add_batch(state.learn.real, transitions)
  return state._replace(learn=state.learn._replace(real=real))


def _learn(parts: _Parts, state: TrainState, steps: int) -> TrainState:
  """Takes the gradient steps due."""
  config, learn = parts.config, state.learn
  key, update_key = jax.random.split(state.key)
  epoch, size = _epoch(config, state), config.agent.batch_size
  share = floor_at_epoch(config.real_ratio_schedule, epoch, size) / np.float32(size)
  newest = _retained_rows(config, state)

  def sample(key: Key) -> Transition:
    return ring.sample_two(learn.real, learn.model, key, size, share, newest)

  ready = (state.carry == 0).all() & ((learn.model.size > 0) | (share >= 1))
  sac, metrics = parts.agent.update(learn.sac, sample, update_key, ready, state.steps, steps)
  return state._replace(learn=learn._replace(sac=sac, metrics=metrics), key=key)


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble and rolls it out once warm-up is over."""
  config, learn = parts.config, state.learn
  fit_key, start_key, roll_key, key = jax.random.split(state.key, 4)
  epoch = _epoch(config, state)
  begun = (state.carry == 0).all()
  uses_model = begun & (at_epoch(config.real_ratio_schedule, epoch) < 1)
  refit = (config.fit_until < 0) | (epoch < config.fit_until) | ~fitted(learn.world_model)
  epochs = jnp.where(uses_model & refit, config.world_model.epochs, 0)
  world_model, report = parts.world_model.fit(learn.world_model, learn.real, fit_key, epochs)
  length = floor_at_epoch(config.rollout_schedule, epoch)
  starts = ring.sample(learn.real, start_key, config.rollout_batch_size).obs
  steps = jnp.where(uses_model & fitted(world_model), length, 0)
  params = elite_params(world_model)
  keys = roll_key, jax.random.fold_in(learn.run_key, epoch)
  model = parts.rollouts(
    learn.hyperparams, learn.model, params, learn.sac, starts, steps, *keys
  )
  metrics = {
    **learn.metrics,
    **report,
    "rollout_length": length,
    "nonfinite_imagined": model.dropped,
    "ran": begun.astype(jnp.float32),
  }
  learn = learn._replace(world_model=world_model, model=model)
  return state._replace(learn=learn, key=key), metrics


def _epoch(config: Config, state: TrainState) -> Array:
  """Returns the epoch, counted from the end of warm-up."""
  return jnp.maximum(state.steps - config.init_steps, 0) // config.epoch_length


def _retained_rows(config: Config, state: TrainState) -> Array:
  """Returns how many of the newest model transitions are within ``retain_epochs``."""
  length = floor_at_epoch(config.rollout_schedule, _epoch(config, state))
  # per step of rollout length, times update_every
  rows = config.retain_epochs * config.epoch_length * config.rollout_batch_size
  whole, rest = divmod(rows, config.update_every)
  return jnp.maximum(length * whole + length * rest // config.update_every, 1)
