"""DAgger: a Gaussian policy that imitates the planner of another run.

The mean of the policy is first cloned from ``dataset``, episodes of that planner. Then, again
and again: the policy acts for ``update_every`` steps; the planner is queried afresh in every
state that was visited; the policy is fitted to the episodes and to all labels so far
(``learners.dagger``). ``warm_start`` takes the other run's model. The policy sees encoded
observations that are not scaled, so that ``trpo`` with ``scale_observations=False`` goes on
from it; until then ``policy.log_std`` has no effect.

Source: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning", and the released code.

Deviations, besides those of ``learners.dagger``:
  * Labels are counted in steps, not in episodes. The last ones are learned from, too; there
    the last fit precedes them.
  * The performance is the mean of evaluation episodes, there the last of them.
  * Actions are disturbed from the first visited state on; there from the second fit after
    the cloning on.
  * Weights start as those of all Gaussian policies here, biases at 0; there both at normal
    draws. Observations are clipped to 10, see ``parts.gaussian_actor``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms import mbmf
from mbrl_jax.algorithms.parts.dynamics_config import ModelConfig
from mbrl_jax.algorithms.parts.gaussian_actor import (
  GaussianActor,
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
)
from mbrl_jax.algorithms.parts.offline import check_capacity
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig
from mbrl_jax.algorithms.parts.planner_expert import (
  ExpertParams,
  PlannerExpert,
  make_planner_expert,
)
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.learners.dagger import DAgger, DAggerState, Labelled, make_dagger
from mbrl_jax.networks.actor import from_bounds
from mbrl_jax.ops.masked import masked_mean
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.normalize import identity_normalizer
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Budget,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Params,
  Preload,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config:
  """DAgger.

  Attributes:
    dataset: file of the planner's episodes, see runtime.storage.dataset; required.
    steps: environment steps of the run, each of which gives a label.
    update_every: environment steps between two fits.
    capacity: most rows of the dataset; labels are kept besides.
    holdout: last rows of the dataset, not learned from, which measure the imitation.
    epochs: passes over all rows per fit.
    batch_size: rows per gradient step.
    learning_rate: Adam's.
    action_noise: deviation of the noise on the policy's actions while it collects states, in
      units in which the bounds are -1 and 1.
    label_batch_size: states in which the planner is queried at once; more need more memory.
    model, planner: those of the run that is imitated; see their classes.
    policy: see its class; log_std is that with which a policy gradient starts later.
  """

  dataset: str = ""
  steps: int = 6000
  update_every: int = 2000
  capacity: int = 100_000
  holdout: int = 700
  epochs: int = 100
  batch_size: int = 512
  learning_rate: float = 1e-3
  action_noise: float = 0.005
  label_batch_size: int = 8
  model: ModelConfig = field(default_factory=lambda: mbmf.Config().model)
  planner: PlannerConfig = field(default_factory=lambda: mbmf.Config().planner)
  policy: PolicyConfig = field(default_factory=lambda: PolicyConfig(log_std=0.0))


class Carry(NamedTuple):
  """Carry of one environment.

  Attributes:
    noise: deviation of the noise on actions, in units of the bounds, ``[]``.
  """

  noise: Array


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    learner: the policy, the dataset and the labels.
    expert: the planner that is imitated.
    holdout: a ring of ``Labelled``: rows of the dataset that are not learned from.
    visited: a ring of observations, ``[update_every, O]``: those since the last fit.
    cloned: the policy has been fitted to the dataset, ``[]`` bool.
  """

  learner: DAggerState
  expert: ExpertParams
  holdout: ring.Ring
  visited: ring.Ring
  cloned: Array


class _Parts(NamedTuple):
  """Static parts of the algorithm.

  Attributes:
    observe: ``(obs [O]) -> [O']``, what the policy takes.
  """

  spec: EnvSpec
  config: Config
  actor: GaussianActor
  observe: Callable[[Array], Array]
  learner: DAgger
  expert: PlannerExpert


@in_single_precision
def make_dagger_algorithm(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes DAgger for a task.

  Raises:
    ValueError: no dataset, sizes that are not positive, see also ``make_model_planner``.
  """
  budget = _budget(config)
  actor = make_gaussian_actor(spec, config.policy)
  observe = lambda obs: actor.observe(identity_normalizer(actor.obs_dim), obs)
  learner = make_dagger(
    actor.policy,
    actor.obs_dim,
    spec.action_dim,
    capacity=config.capacity + config.steps,
    epochs=config.epochs,
    batch_size=config.batch_size,
    label_batch_size=config.label_batch_size,
    observe=observe,
  )
  expert = make_planner_expert(spec, config.model, config.planner)
  parts = _Parts(spec, config, actor, observe, learner, expert)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=lambda state: _params(parts, state),
    act=lambda params, carry, obs, key: _act(actor, params, carry, obs, key),
    reset=lambda params, carry: carry,
    observe=_observe,
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=_deploy,
    plans=False,
    diagnostics=Diagnostics(expert.dynamics, lambda state: state.learn.expert.model),
    idle=lambda state: ~state.learn.cloned,
    preload=Preload(config.dataset, lambda state, rows: _preload(parts, state, rows)),
    warm_start=lambda state, params: _warm_start(expert, state, params),
    requires="imitates the planner of another run, of mbmf or pets",
  )


def _budget(config: Config) -> Budget:
  """Returns the budget; checks the configuration."""
  if not config.dataset:
    text = (
      "is missing: DAgger starts from episodes of the planner, which experiments.collect saves."
    )
    raise ArgumentError("dataset", config.dataset, text)
  counts = {"steps": config.steps, "update_every": config.update_every}
  sizes = {"capacity": config.capacity, "holdout": config.holdout}
  positive(**counts, **sizes, learning_rate=config.learning_rate)
  between(0.0, math.inf, action_noise=config.action_noise)
  return Budget(counts, "steps", steps=config.steps, chunk=config.update_every)


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  spec, config, actor = parts.spec, parts.config, parts.actor
  learner_key, expert_key, key = jax.random.split(key, 3)
  blank = blank_transition(spec)
  example = Labelled(jnp.zeros(actor.obs_dim), blank.action)
  learn = Learn(
    learner=parts.learner.init(learner_key, config.learning_rate),
    expert=parts.expert.init(expert_key),
    holdout=ring.init(config.holdout, example),
    visited=ring.init(config.update_every, blank.obs),
    cloned=jnp.zeros((), bool),
  )
  carry = Carry(jnp.full(envs, config.action_noise, jnp.float32))
  return TrainState(learn, carry, None, key, jnp.zeros((), jnp.int32))


def _params(parts: _Parts, state: TrainState) -> PolicyParams:
  """Returns the parameters for acting."""
  raw = identity_normalizer(parts.actor.obs_dim)
  return PolicyParams(state.learn.learner.params, raw, jnp.zeros((), bool))


def _deploy(params: PolicyParams) -> tuple[PolicyParams, Carry]:
  """Returns parameters and carry for deployment: no noise."""
  return params._replace(greedy=jnp.ones((), bool)), Carry(jnp.zeros(()))


def _act(
  actor: GaussianActor, params: PolicyParams, carry: Carry, obs: Array, key: Key
) -> tuple[Array, Carry, Metrics]:
  """Takes the policy's mean with the noise of the carry."""
  mean = actor.policy.mean(params.policy, actor.observe(params.scaling, obs))
  return actor.execute(mean + carry.noise * normal(key, mean.shape)), carry, {}


def _observe(state: TrainState, transitions: Transition) -> TrainState:
  """Stores the observations in which the policy has acted."""
  visited = ring.add_batch(state.learn.visited, transitions.obs)
  return state._replace(learn=state.learn._replace(visited=visited))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Labels the visited states and fits the policy; in the first call, to the dataset only."""
  learn, visited = state.learn, state.learn.visited
  update_key, key = jax.random.split(state.key)
  label = lambda obs, key: parts.expert.label(learn.expert, obs, key)
  learner, metrics = parts.learner.update(
    learn.learner, visited.data, visited.size, label, update_key
  )
  none = jnp.zeros((), jnp.int32)
  learn = learn._replace(
    learner=learner,
    visited=visited._replace(cursor=none, size=jnp.copy(none)),
    cloned=jnp.ones((), bool),
  )
  report = {**metrics, "holdout_error": _holdout_error(parts, learn), "ran": jnp.ones(())}
  return state._replace(learn=learn, key=key), report


def _holdout_error(parts: _Parts, learn: Learn) -> Array:
  """Returns the mean squared error in the rows that were not learned from, ``[]``."""
  rows = learn.holdout.data
  error = parts.actor.policy.mean(learn.learner.params, rows.obs) - rows.action
  used = jnp.arange(len(error)) < learn.holdout.size
  return masked_mean(jnp.square(error).mean(-1), used)


def _preload(parts: _Parts, state: TrainState, transitions: Transition) -> TrainState:
  """Stores the dataset in a new run, its last rows apart.

  Raises:
    ValueError: more rows than the capacity, or none besides those held out.
  """
  config, count = parts.config, len(transitions.reward)
  check_capacity(config.capacity, count)
  if count <= config.holdout:
    text = f"leaves none of the {count} transitions of the dataset to learn from."
    raise ArgumentError("holdout", config.holdout, text)
  first, learn, spec = count - config.holdout, state.learn, parts.spec
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  obs, action = transitions.obs, from_bounds(transitions.action, low, high)
  learner = parts.learner.add(learn.learner, obs[:first], action[:first])
  held = Labelled(jax.vmap(parts.observe)(obs[first:]), action[first:])
  holdout = ring.add_batch(learn.holdout, held)
  return state._replace(learn=learn._replace(learner=learner, holdout=holdout))


def _warm_start(expert: PlannerExpert, state: TrainState, params: Params) -> TrainState:
  """Takes the model of a run that plans with it; see ``PlannerExpert.take``."""
  taken = expert.take(state.learn.expert, params)
  return state._replace(learn=state.learn._replace(expert=taken))
