"""Learning from batches of the current policy: what NPG and TRPO share.

Every ``batch`` environment steps the policy takes one step on the transitions since the last
one, and the baseline is fitted to them (``learners.policy_gradient``). Then the statistics of
observations are updated, so that the policy of a batch is one fixed function. Neither the
policy nor the baseline sees raw observations: they are scaled to mean 0 and deviation 1 over
all steps so far, and clipped (``parts.gaussian_actor``).

Rewards are divided by the root mean square of all discounted returns so far, those of the
batch included, before anything is learned from them. Advantages are standardised anyway; the
baseline's targets are then of size 1, whatever the task, which Adam at its usual rate can
follow. Small batches need an accurate baseline: five passes of a small batch, not one.

Lambda-returns bootstrap at a time limit, so their values do not depend on the time since the
episode began, and the baseline is not given it. A batch may hold a short part of the episodes
only, and beyond it a baseline of the time extrapolates: Swimmer then unlearns what it learned.

Deviations:
  * A batch is a number of steps, not of episodes, as in mjrl and rllab. The end of a batch
    cuts running episodes: they are bootstrapped from ``next_obs``, and continue in the next
    batch. If ``batch`` is a multiple of environments times episode length, and no episode ends
    early, all episodes are whole.
    With several environments whose episodes have one length, smaller batches each see another
    part of the episodes.
  * Returns are scaled by their root mean square; others divide by a running deviation
    (Stable-Baselines3's ``VecNormalize``, Tianshou), mjrl by nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.gaussian_actor import (
  GaussianActor,
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
  reset_acting,
)
from mbrl_jax.algorithms.parts.policy_warm_start import policy_warm_start
from mbrl_jax.algorithms.parts.trajectory_batch import (
  Batch,
  add_column,
  empty_batch,
  trajectories,
)
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig, make_baseline
from mbrl_jax.learners import Baseline, PolicyGradient, PolicyGradientState
from mbrl_jax.networks.gaussian_policy import GaussianPolicy, GaussianPolicyParams
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.ops.returns import discounted_returns
from mbrl_jax.ops.running_statistics import (
  RunningStatistics,
  add_rows,
  no_statistics,
  normalizer_of,
  root_mean_square,
)
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Budget,
  EnvSpec,
  Key,
  Metrics,
  TrainState,
  Transition,
)

WARM_ROWS = 100_000.0
"""Steps for which the scaling of another run's policy counts: batches change it little."""
MakeLearner = Callable[[GaussianPolicy, Baseline], tuple[PolicyGradient, Any]]
"""Returns the learner of a policy and a baseline, and its hyper-parameters."""


@dataclass(frozen=True)
class OnPolicyConfig:
  """Base config of algorithms that learn from batches of the current policy.

  Attributes:
    steps: environment steps of the run, of all environments together.
    batch: environment steps between two updates, of all environments together.
    scale_observations: scale observations to mean 0 and deviation 1.
    policy, baseline: see their classes.
  """

  steps: int = 1_000_000
  batch: int = 1024
  scale_observations: bool = True
  policy: PolicyConfig = field(default_factory=PolicyConfig)
  baseline: BaselineConfig = field(default_factory=lambda: BaselineConfig(epochs=5))


class EpisodeReturns(NamedTuple):
  """Undiscounted returns of episodes.

  Attributes:
    running: of the episodes that have not ended, ``[N]``.
    total: sum over those that ended since the last update, ``[]``.
    ended: their number, ``[]`` int32.
    last: mean of the last batch in which one ended, 0 at first, ``[]``.
  """

  running: Array
  total: Array
  ended: Array
  last: Array


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    learner: state of the learner.
    observations: statistics of encoded observations; of none if they are not scaled.
    returns: statistics of discounted returns.
    batch: transitions since the last update.
    episodes: returns of episodes.
  """

  learner: PolicyGradientState
  observations: RunningStatistics
  returns: RunningStatistics
  batch: Batch
  episodes: EpisodeReturns


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: OnPolicyConfig
  actor: GaussianActor
  learner: PolicyGradient
  hyperparams: Any
  timed: bool
  force_first: bool


def make_on_policy(
  spec: EnvSpec,
  config: OnPolicyConfig,
  make_learner: MakeLearner,
  value_target: str,
  force_first: bool = False,
) -> Algorithm:
  """Makes an algorithm that learns from batches of the current policy.

  Args:
    spec: the task.
    config: batches, policy and baseline.
    make_learner: see ``MakeLearner``.
    value_target: of the learner. The baseline is given the time for ``"monte_carlo"`` only.
    force_first: take the first step of the run even if the learner's rule refuses it.

  Raises:
    ValueError: counts or sizes that are not positive, see also the parts.
  """
  counts = {"steps": config.steps, "batch": config.batch}
  positive(**counts)
  actor = make_gaussian_actor(spec, config.policy)
  learner, hyperparams = make_learner(
    actor.policy, make_baseline(actor.obs_dim, config.baseline)
  )
  timed = value_target == "monte_carlo"
  parts = _Parts(spec, config, actor, learner, hyperparams, timed, force_first)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=_params,
    act=actor.act,
    reset=reset_acting,
    observe=_observe,
    update=lambda state: _update(parts, state),
    budget=Budget(counts, "steps", steps=config.steps, chunk=config.batch),
    deploy=actor.deploy,
    plans=False,
    warm_start=policy_warm_start(_params, _put_policy),
  )


def _params(state: TrainState) -> PolicyParams:
  """Returns the parameters for acting."""
  scaling = normalizer_of(state.learn.observations)
  return PolicyParams(state.learn.learner.params, scaling, jnp.zeros((), bool))


def _put_policy(learn: Learn, policy: GaussianPolicyParams, scaling: Normalizer) -> Learn:
  """Replaces the policy and the scaling of its observations."""
  seen = RunningStatistics(jnp.float32(WARM_ROWS), scaling.mean, jnp.square(scaling.scale))
  return learn._replace(learner=learn.learner._replace(params=policy), observations=seen)


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  learner_key, key = jax.random.split(key)
  none, zero = jnp.zeros((), jnp.int32), jnp.zeros(())
  learn = Learn(
    learner=parts.learner.init(learner_key, parts.hyperparams),
    observations=no_statistics(parts.actor.obs_dim),
    returns=no_statistics(1),
    batch=empty_batch(parts.spec, envs, parts.config.batch),
    episodes=EpisodeReturns(jnp.zeros(envs), zero, none, zero),
  )
  return TrainState(learn, parts.actor.initial_carry(envs), None, key, none)


def _observe(state: TrainState, transitions: Transition) -> TrainState:
  """Adds the next transition of every environment to the batch."""
  learn, carry = state.learn, state.carry
  time = carry.time - 1  # it counts the action taken
  batch = add_column(learn.batch, transitions, carry.sampled, time)
  done = transitions.terminated | transitions.truncated
  running, episodes = learn.episodes.running + transitions.reward, learn.episodes
  episodes = episodes._replace(
    running=jnp.where(done, 0.0, running),
    total=episodes.total + jnp.sum(jnp.where(done, running, 0.0)),
    ended=episodes.ended + jnp.sum(done, dtype=jnp.int32),
  )
  return state._replace(learn=learn._replace(batch=batch, episodes=episodes))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Takes a policy step, fits the baseline, and starts the next batch."""
  learn, batch = state.learn, state.learn.batch
  key, update_key = jax.random.split(state.key)
  returns = _add_returns(learn, batch)
  scaling = normalizer_of(learn.observations)
  data = trajectories(parts.actor, scaling, batch, root_mean_square(returns)[0])
  if not parts.timed:
    data = data._replace(time=jnp.zeros_like(data.time))
  first = learn.returns.rows == 0
  force = first if parts.force_first else False
  learner, metrics = parts.learner.update(learn.learner, data, update_key, force)
  observations = learn.observations
  if parts.config.scale_observations:
    seen = jax.vmap(jax.vmap(parts.spec.encode))(batch.transition.obs)
    rows = seen.reshape(-1, seen.shape[-1])
    observations = add_rows(observations, rows, batch.valid.reshape(-1))
  episodes = _start_count(learn.episodes)
  metrics = {
    **metrics,
    "refused_total": learner.refused,
    "batch_return": episodes.last,
    "return_scale": root_mean_square(returns)[0],
    "dropped_steps": batch.dropped,
    "ran": jnp.ones(()),
  }
  empty = batch._replace(filled=jnp.zeros((), jnp.int32))
  learn = Learn(learner, observations, returns, empty, episodes)
  return state._replace(learn=learn, key=key), metrics


def _add_returns(learn: Learn, batch: Batch) -> RunningStatistics:
  """Adds the discounted returns of a batch, cut at its end, to the statistics."""
  discount, rows = learn.learner.hyperparams.discount, batch.transition
  sums = lambda reward, ended, valid: discounted_returns(reward, ended, discount, valid)
  found = jax.vmap(sums)(rows.reward, rows.terminated | rows.truncated, batch.valid)
  return add_rows(learn.returns, found.reshape(-1, 1), batch.valid.reshape(-1))


def _start_count(episodes: EpisodeReturns) -> EpisodeReturns:
  """Returns the record with the mean of the batch, and no episode that ended since."""
  mean = episodes.total / jnp.maximum(episodes.ended, 1)
  known = (episodes.ended > 0) & jnp.isfinite(mean)
  return EpisodeReturns(
    episodes.running,
    jnp.zeros(()),
    jnp.zeros((), jnp.int32),
    jnp.where(known, mean, episodes.last),
  )
