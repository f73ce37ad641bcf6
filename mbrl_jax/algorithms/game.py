"""Game-MBRL: natural policy gradients in a learned model, PAL and MAL.

Model learning is a game of two players: the policy maximises its return in the model, the
model minimises its error on what the policy visits. The leader moves slowly, the follower
close to its best response. PAL, policy as leader: the model is fitted to recent data only,
then the policy takes few natural gradient steps. MAL, model as leader: the model is fitted to
all data, then the policy takes many. Both are presets of one loop:

1. Step the real environment ``update_every`` times with the stochastic policy.
2. Fit the model to the buffer (``parts.difference_model``).
3. ``policy_steps`` times: imagine ``paths`` episodes in each member from initial states or
   states of the buffer, take one natural gradient step on all of them, fit the baseline.

Source: Rajeswaran et al. 2020, "A Game Theoretic Framework for Model Based Reinforcement
Learning", and the released code.

Deviations:
  * ``discount`` is the one that acts; the released code always takes 0.995, the default here.
  * Collection does not wait for the end of an episode: it goes on with the next policy.
  * See ``parts.difference_model``, ``parts.imagined_trajectories``, ``parts.episode_buffer``
    and ``learners.policy_gradient``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.action_repeat import OpenAction, close_actions, no_open_actions
from mbrl_jax.algorithms.parts.difference_model import (
  DifferenceModel,
  DifferenceModelConfig,
  ModelState,
  make_difference_model,
)
from mbrl_jax.algorithms.parts.episode_buffer import (
  EpisodeBuffer,
  add_transitions,
  init_episodes,
  start_states,
  whole_episodes,
)
from mbrl_jax.algorithms.parts.gaussian_actor import (
  GaussianActor,
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
  masked_scaling,
  reset_acting,
)
from mbrl_jax.algorithms.parts.natural_gradient import NPGConfig, npg_learner
from mbrl_jax.algorithms.parts.policy_improvement import Imagination, improve_policy
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig, make_baseline
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.learners.npg import NPGHyperparams
from mbrl_jax.learners.policy_gradient import PolicyGradient, PolicyGradientState
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Budget,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config:
  """PAL; counts of steps are environment steps, of all environments together.

  Attributes:
    steps: of the run.
    init_steps: collected before the first fit.
    update_every: collected between two fits.
    action_repeat: for which an action is held; the model predicts over as many.
    capacity: transitions (actions) that the model is fitted to; the oldest episodes are
      dropped as a whole.
    obs_scale: factors of the encoded observation for policy and baseline; empty: all 1.
    policy_steps: natural gradient steps after each fit.
    paths: start states of an iteration's imagined episodes; each member rolls out all.
    horizon: actions of an imagined episode; 0: those of an episode of the task.
    buffer_share: of the start states, that are any states of the buffer; the others are
      initial states.
    obs_limit: to whose magnitude imagined observations are clipped.
    world_model, policy, baseline, npg: see their classes.
  """

  steps: int = 100_000
  init_steps: int = 5000
  update_every: int = 1000
  action_repeat: int = 1
  capacity: int = 10_000
  obs_scale: tuple[float, ...] = ()
  policy_steps: int = 5
  paths: int = 50
  horizon: int = 0
  buffer_share: float = 0.0
  obs_limit: float = 100.0
  world_model: DifferenceModelConfig = field(default_factory=DifferenceModelConfig)
  policy: PolicyConfig = field(default_factory=PolicyConfig)
  baseline: BaselineConfig = field(default_factory=BaselineConfig)
  npg: NPGConfig = field(default_factory=NPGConfig)


@dataclass(frozen=True)
class MALConfig(Config):
  """MAL; the fields are those of PAL."""

  update_every: int = 2000
  capacity: int = 100_000
  policy_steps: int = 20
  paths: int = 25
  world_model: DifferenceModelConfig = field(
    default_factory=lambda: DifferenceModelConfig(epochs=10, max_steps=100_000)
  )


class Hyperparams(NamedTuple):
  """Floats that may change between updates, ``[]``."""

  buffer_share: Array
  obs_limit: Array


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    policy: the learner's state.
    scaling: of the observations.
    world_model: the model's state.
    real: transitions of the environments.
    opened: actions that the environments still hold.
    fitted: ``real.stored`` at the last fit, ``[]`` int32.
    hyperparams: see its class.
  """

  policy: PolicyGradientState
  scaling: Normalizer
  world_model: ModelState
  real: EpisodeBuffer
  opened: OpenAction
  fitted: Array
  hyperparams: Hyperparams


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  actor: GaussianActor
  learner: PolicyGradient
  npg: NPGHyperparams
  world_model: DifferenceModel
  horizon: int


@in_single_precision
def make_game(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes PAL or MAL for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, a task whose termination
      function is unknown.
  """
  budget = _budget(config)
  actor = make_gaussian_actor(spec, config.policy, action_repeat=config.action_repeat)
  baseline = make_baseline(actor.obs_dim, config.baseline)
  learner, hyperparams = npg_learner(actor.policy, baseline, config.npg, config.policy)
  world_model = make_difference_model(
    spec, config.world_model, action_repeat=config.action_repeat, recent=config.update_every
  )
  masked_scaling(actor, config.obs_scale)
  horizon = config.horizon or -(-spec.episode_length // config.action_repeat)
  parts = _Parts(spec, config, actor, learner, hyperparams, world_model, horizon)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=_params,
    act=actor.act,
    reset=reset_acting,
    observe=lambda state, transitions: _observe(parts, state, transitions),
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=actor.deploy,
    plans=False,
    diagnostics=Diagnostics(world_model.dynamics, lambda state: state.learn.world_model.params),
  )


def _budget(config: Config) -> Budget:
  """Returns the budget; checks the counts."""
  names = ("steps", "init_steps", "update_every")
  counts = {name: getattr(config, name) for name in names}
  positive(**counts, capacity=config.capacity, policy_steps=config.policy_steps)
  positive(paths=config.paths, obs_limit=config.obs_limit)
  between(0, float("inf"), horizon=config.horizon)
  between(0.0, 1.0, buffer_share=config.buffer_share)
  if config.capacity < config.world_model.batch_size:
    batch = "world_model.batch_size", config.world_model.batch_size
    raise ArgumentError("capacity", config.capacity, "is smaller than a batch, {}.", batch)
  return Budget(counts, "steps", steps=config.steps, chunk=config.update_every)


def _params(state: TrainState) -> PolicyParams:
  """Returns the parameters for acting."""
  return PolicyParams(state.learn.policy.params, state.learn.scaling, jnp.zeros((), bool))


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  config, none = parts.config, jnp.zeros((), jnp.int32)
  policy_key, model_key, key = jax.random.split(key, 3)
  learn = Learn(
    policy=parts.learner.init(policy_key, parts.npg),
    scaling=masked_scaling(parts.actor, config.obs_scale),
    world_model=parts.world_model.init(model_key),
    real=init_episodes(parts.spec, config.capacity, envs),
    opened=no_open_actions(envs, parts.spec.obs_dim),
    fitted=none,
    hyperparams=Hyperparams(jnp.float32(config.buffer_share), jnp.float32(config.obs_limit)),
  )
  return TrainState(learn, parts.actor.initial_carry(envs), None, key, none)


def _observe(parts: _Parts, state: TrainState, transitions: Transition) -> TrainState:
  """Stores the transitions of complete actions, as the environment executes them."""
  learn, carry = state.learn, state.carry
  opened, whole, complete = close_actions(
    learn.opened, carry, transitions, parts.config.action_repeat
  )
  whole = whole._replace(action=jax.vmap(parts.actor.execute)(whole.action))
  real = add_transitions(learn.real, whole, carry.time == 1, complete)
  return state._replace(learn=learn._replace(real=real, opened=opened))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the model and improves the policy in it, once the initial steps have been taken."""
  config, learn = parts.config, state.learn
  fit_key, policy_key, key = jax.random.split(state.key, 3)
  begun = (state.steps >= config.init_steps) & (learn.real.items.size > 0)
  rows, new = whole_episodes(learn.real), learn.real.stored - learn.fitted
  world_model, report = parts.world_model.fit(learn.world_model, rows, new, fit_key, begun)
  floats = learn.hyperparams
  policy, metrics = improve_policy(
    parts.actor,
    parts.learner,
    parts.world_model,
    Imagination(world_model.params, learn.scaling, floats.obs_limit),
    learn.policy,
    lambda key: start_states(learn.real, rows, floats.buffer_share, config.paths, key),
    parts.horizon,
    jnp.where(begun, config.policy_steps, 0),
    policy_key,
  )
  report |= metrics
  report |= {"kl_target": learn.policy.hyperparams.step_size / 2, "rows": rows.size}
  report["ran"] = begun.astype(jnp.float32)
  fitted = jnp.where(begun, learn.real.stored, learn.fitted)
  learn = learn._replace(policy=policy, world_model=world_model, fitted=fitted)
  return state._replace(learn=learn, key=key), report
