"""Natural policy gradient steps on trajectories imagined in a learned model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.difference_model import DifferenceModel, make_difference_model
from mbrl_jax.algorithms.parts.difference_nets import (
  DifferenceModelConfig,
  ModelParams,
  ModelState,
)
from mbrl_jax.algorithms.parts.episode_buffer import EpisodeBuffer, Rows, start_states
from mbrl_jax.algorithms.parts.gaussian_actor import (
  GaussianActor,
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
  masked_scaling,
)
from mbrl_jax.algorithms.parts.imagined_trajectories import Halt, episode_metrics, imagine
from mbrl_jax.algorithms.parts.natural_gradient import NPGConfig, npg_learner
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig, make_baseline
from mbrl_jax.learners.npg import NPGHyperparams
from mbrl_jax.learners.policy_gradient import PolicyGradient, PolicyGradientState
from mbrl_jax.networks.gaussian_policy import GaussianPolicyParams
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.types import Array, EnvSpec, Key, Metrics


@dataclass(frozen=True)
class ImprovementConfig:
  """Base config of algorithms that improve a policy in a learned model.

  Attributes:
    obs_scale: factors of the encoded observation for policy and baseline; empty: all 1.
    policy_steps: natural gradient steps after each fit.
    paths: start states of a step's imagined episodes; each member rolls out all.
    horizon: actions of an imagined episode; 0: those of an episode of the task.
    buffer_share: share of start states drawn from all states of the buffer; the others are
      initial states of episodes.
    obs_limit: imagined observations are clipped to this magnitude.
    world_model, policy, baseline, npg: see their classes.
  """

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


class ImprovementHyperparams(NamedTuple):
  """Floats that may change between updates, ``[]``, see ``ImprovementConfig``."""

  buffer_share: Array
  obs_limit: Array


class PolicyState(NamedTuple):
  """State of the policy.

  Attributes:
    learner: state of the natural gradient.
    scaling: of the observations.
    hyperparams: see its class.
  """

  learner: PolicyGradientState
  scaling: Normalizer
  hyperparams: ImprovementHyperparams


class Improver(NamedTuple):
  """Static parts of the improvement.

  Attributes:
    config: sizes.
    actor: the policy.
    learner: the natural gradient, with its hyper-parameters ``npg``.
    model: the learned model.
    horizon: steps of an imagined episode.
  """

  config: ImprovementConfig
  actor: GaussianActor
  learner: PolicyGradient
  npg: NPGHyperparams
  model: DifferenceModel
  horizon: int

  def init(self, key: Key) -> tuple[PolicyState, ModelState]:
    """Returns the initial states of policy and model."""
    policy_key, model_key = jax.random.split(key)
    config = self.config
    floats = jnp.float32(config.buffer_share), jnp.float32(config.obs_limit)
    policy = PolicyState(
      self.learner.init(policy_key, self.npg),
      masked_scaling(self.actor, config.obs_scale),
      ImprovementHyperparams(*floats),
    )
    return policy, self.model.init(model_key)


def make_improver(
  spec: EnvSpec,
  config: ImprovementConfig,
  *,
  recent: int,
  action_repeat: int = 1,
  ends: bool = True,
) -> Improver:
  """Makes the parts for a task.

  Args:
    spec: the task.
    config: sizes and rates.
    recent, action_repeat, ends: see ``make_difference_model``.

  Raises:
    ValueError: sizes that are not positive, factors that do not fit the observation, and see
      ``make_difference_model``.
  """
  positive(policy_steps=config.policy_steps, paths=config.paths, obs_limit=config.obs_limit)
  between(0, float("inf"), horizon=config.horizon)
  between(0.0, 1.0, buffer_share=config.buffer_share)
  actor = make_gaussian_actor(spec, config.policy, action_repeat=action_repeat)
  masked_scaling(actor, config.obs_scale)
  baseline = make_baseline(actor.obs_dim, config.baseline)
  learner, npg = npg_learner(actor.policy, baseline, config.npg, config.policy)
  model = make_difference_model(
    spec, config.world_model, action_repeat=action_repeat, recent=recent, ends=ends
  )
  horizon = config.horizon or -(-spec.episode_length // action_repeat)
  return Improver(config, actor, learner, npg, model, horizon)


def acting_params(policy: PolicyState) -> PolicyParams:
  """Returns the parameters for acting with exploration."""
  return PolicyParams(policy.learner.params, policy.scaling, jnp.zeros((), bool))


def put_policy(learn: Any, policy: GaussianPolicyParams, scaling: Normalizer) -> Any:
  """Replaces the policy in a state of learning whose ``policy`` is a ``PolicyState``."""
  own = learn.policy
  learner = own.learner._replace(params=policy)
  return learn._replace(policy=own._replace(learner=learner, scaling=scaling))


def improve_policy(
  improver: Improver,
  policy: PolicyState,
  params: ModelParams,
  real: EpisodeBuffer,
  rows: Rows,
  key: Key,
  *,
  active: Array | bool = True,
  halt: Halt | None = None,
) -> tuple[PolicyState, Metrics]:
  """Takes the natural gradient steps, each on new imagined trajectories.

  Args:
    improver: see its class.
    policy: its state.
    params: of the model's members.
    real: initial states.
    rows: further start states.
    key: typed key.
    active: ``[]`` bool; else the policy stays as it is and metrics are zero.
    halt: see ``imagine``.

  Returns:
    The state, and the means over the steps of the metrics of the learner and of
    ``episode_metrics``; ``refused`` is a sum. ``kl_target`` is the KL divergence aimed at.
  """
  floats = policy.hyperparams

  def improve(state: PolicyGradientState, key: Key) -> tuple[PolicyGradientState, Metrics]:
    start_key, imagine_key, update_key = jax.random.split(key, 3)
    trajectories = imagine(
      improver.actor,
      improver.model,
      params,
      acting_params(policy._replace(learner=state)),
      start_states(real, rows, floats.buffer_share, improver.config.paths, start_key),
      improver.horizon,
      imagine_key,
      limit=floats.obs_limit,
      halt=halt,
    )
    state, metrics = improver.learner.update(state, trajectories, update_key)
    return state, {**metrics, **episode_metrics(trajectories)}

  def body(
    i: Array, loop: tuple[PolicyGradientState, Metrics]
  ) -> tuple[PolicyGradientState, Metrics]:
    state, metrics = improve(loop[0], jax.random.fold_in(key, i))
    return state, jax.tree.map(lambda total, x: total + x, loop[1], metrics)

  shapes = jax.eval_shape(improve, policy.learner, key)[1]
  zeros = {name: jnp.zeros((), jnp.float32) for name in shapes}
  steps = improver.config.policy_steps
  count = jnp.where(active, steps, 0)
  state, totals = jax.lax.fori_loop(0, count, body, (policy.learner, zeros))
  metrics = {name: x if name == "refused" else x / steps for name, x in totals.items()}
  metrics["kl_target"] = state.hyperparams.step_size / 2
  return policy._replace(learner=state), metrics
