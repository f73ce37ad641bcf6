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
from mbrl_jax.algorithms.parts.difference_nets import DifferenceModelConfig, ModelState
from mbrl_jax.algorithms.parts.episode_buffer import (
  EpisodeBuffer,
  add_transitions,
  init_episodes,
  whole_episodes,
)
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyParams, reset_acting
from mbrl_jax.algorithms.parts.policy_improvement import (
  ImprovementConfig,
  Improver,
  PolicyState,
  acting_params,
  improve_policy,
  make_improver,
  put_policy,
)
from mbrl_jax.algorithms.parts.policy_warm_start import policy_warm_start
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.ops.validate import ArgumentError, positive
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
class Config(ImprovementConfig):
  """PAL; counts of steps are environment steps, of all environments together.

  Attributes:
    steps: environment steps of the run, of all environments together.
    init_steps: environment steps before the first fit.
    update_every: environment steps between two fits.
    action_repeat: environment steps for which an action is held; those of a model's step.
    capacity: transitions (actions) that the model is fitted to; the oldest episodes are
      dropped as a whole.
  """

  steps: int = 100_000
  init_steps: int = 5000
  update_every: int = 1000
  action_repeat: int = 1
  capacity: int = 10_000


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


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    policy: the policy's state.
    world_model: the model's state.
    real: transitions of the environments.
    opened: actions that the environments still hold.
    fitted: ``real.stored`` at the last fit, ``[]`` int32.
  """

  policy: PolicyState
  world_model: ModelState
  real: EpisodeBuffer
  opened: OpenAction
  fitted: Array


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  improver: Improver


@in_single_precision
def make_game(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes PAL or MAL for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, a task whose termination
      function is unknown.
  """
  budget = _budget(config)
  _check_capacity(spec, config, envs=1)
  repeat = config.action_repeat
  improver = make_improver(spec, config, recent=config.update_every, action_repeat=repeat)
  parts = _Parts(spec, config, improver)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=_params,
    act=improver.actor.act,
    reset=reset_acting,
    observe=lambda state, transitions: _observe(parts, state, transitions),
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=improver.actor.deploy,
    plans=False,
    diagnostics=Diagnostics(
      improver.model.dynamics,
      lambda state: state.learn.world_model.params,
      action_repeat=repeat,
    ),
    warm_start=policy_warm_start(_params, put_policy),
  )


def _params(state: TrainState) -> PolicyParams:
  """Returns the parameters for acting."""
  return acting_params(state.learn.policy)


def _budget(config: Config) -> Budget:
  """Returns the budget; checks the counts."""
  names = ("steps", "init_steps", "update_every")
  counts = {name: getattr(config, name) for name in names}
  positive(**counts, capacity=config.capacity, action_repeat=config.action_repeat)
  if config.capacity < config.world_model.batch_size:
    batch = "world_model.batch_size", config.world_model.batch_size
    raise ArgumentError("capacity", config.capacity, "is smaller than a batch, {}.", batch)
  return Budget(counts, "steps", steps=config.steps, chunk=config.update_every)


def _check_capacity(spec: EnvSpec, config: Config, envs: int) -> None:
  """Checks that the buffer holds the running episodes: it drops those that do not fit.

  Raises:
    ValueError: it does not.
  """
  actions = envs * -(-spec.episode_length // config.action_repeat)
  if config.capacity < actions:
    text = f"is less than the {actions} actions of an episode of each environment: set {{}}."
    raise ArgumentError("capacity", config.capacity, text, ("capacity", actions))


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout.

  Raises:
    ValueError: see ``_check_capacity``.
  """
  _check_capacity(parts.spec, parts.config, envs)
  init_key, key = jax.random.split(key)
  policy, world_model = parts.improver.init(init_key)
  none = jnp.zeros((), jnp.int32)
  learn = Learn(
    policy=policy,
    world_model=world_model,
    real=init_episodes(parts.spec, parts.config.capacity, envs),
    opened=no_open_actions(envs, parts.spec.obs_dim),
    fitted=none,
  )
  return TrainState(learn, parts.improver.actor.initial_carry(envs), None, key, none)


def _observe(parts: _Parts, state: TrainState, transitions: Transition) -> TrainState:
  """Stores the transitions of complete actions, as the environment executes them."""
  learn, carry = state.learn, state.carry
  opened, whole, complete = close_actions(
    learn.opened, carry, transitions, parts.config.action_repeat
  )
  whole = whole._replace(action=jax.vmap(parts.improver.actor.execute)(whole.action))
  real = add_transitions(learn.real, whole, carry.time == 1, complete)
  return state._replace(learn=learn._replace(real=real, opened=opened))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the model and improves the policy in it, once the initial steps have been taken."""
  learn = state.learn
  fit_key, policy_key, key = jax.random.split(state.key, 3)
  rows, new = whole_episodes(learn.real), learn.real.stored - learn.fitted
  begun = (state.steps >= parts.config.init_steps) & (rows.size > 0)
  world_model, report = parts.improver.model.fit(learn.world_model, rows, new, fit_key, begun)
  policy, metrics = improve_policy(
    parts.improver,
    learn.policy,
    world_model.params,
    learn.real,
    rows,
    policy_key,
    active=begun,
  )
  fitted = jnp.where(begun, learn.real.stored, learn.fitted)
  learn = learn._replace(policy=policy, world_model=world_model, fitted=fitted)
  report |= {**metrics, "rows": rows.size, "ran": begun.astype(jnp.float32)}
  return state._replace(learn=learn, key=key), report
