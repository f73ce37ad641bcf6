"""PETS: probabilistic ensembles with trajectory sampling.

Collect ``init_trials`` episodes of uniform actions, then repeat: fit the model
to all data so far, run one episode of model-predictive control.

Source: Chua et al. 2018, "Deep Reinforcement Learning in a Handful of Trials
using Probabilistic Dynamics Models", and the released code.

Deviations:
  * The model is also fitted after the last episode, so that the saved model is fitted to all
    data.
  * A replayed plan (``replan_every`` above one) is dropped when an episode ends;
    the original continues to replay it in the next episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.algorithms.parts.dynamics_config import FitConfig, ModelConfig
from mbrl_jax.algorithms.parts.model_planner import ActParams, make_model_planner
from mbrl_jax.algorithms.parts.plan_or_follow import (
  PlanCarry,
  deployed_carry,
  initial_carry,
  plan_or_follow,
)
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.algorithms.parts.warm_up import decrement, uniform_action, warm_up_actions
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.models import fit, init_optimizer, make_optimizer
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.fit import FitResult
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.planners import make_predict
from mbrl_jax.types import (
  Algorithm,
  Array,
  Budget,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Params,
  Planner,
  PlanState,
  State,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config:
  """PETS; the defaults are the paper's for cart-pole.

  Attributes:
    trials: episodes of model-predictive control, after which the run ends.
    init_trials: episodes of uniform actions before them.
    capacity: transitions kept, the oldest overwritten first; 0: all of the run.
    log_predictions: report every particle's prediction at each control step.
    model, fit, planner: see their classes.
  """

  trials: int = 50
  init_trials: int = 1
  capacity: int = 0
  log_predictions: bool = False
  model: ModelConfig = field(default_factory=ModelConfig)
  fit: FitConfig = field(default_factory=FitConfig)
  planner: PlannerConfig = field(default_factory=PlannerConfig)


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    params: parameters of the model.
    opt_state: of its optimiser.
    buffer: all transitions.
    due: an episode has ended since the last fit, ``[]`` bool.
    fitted: the model has been fitted, ``[]`` bool.
    fresh: see ``ActParams``.
  """

  params: Params
  opt_state: optax.OptState
  buffer: ring.Ring
  due: Array
  fitted: Array
  fresh: PlanState


PredictFn = Callable[[Params, State, Array, Key], State]
"""See ``make_predict``."""


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  model: Ensemble
  optimizer: optax.GradientTransformation
  planner: Planner
  predict: PredictFn | None


@in_single_precision
def make_pets(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes PETS for a task.

  Raises:
    ValueError: unknown names, invalid combinations (trajectory sampling with one network,
      particles that do not divide among the networks) or sizes that are not positive.
  """
  trials = {"trials": config.trials, "init_trials": config.init_trials}
  positive(**trials, **{f"fit.{name}": value for name, value in vars(config.fit).items()})
  between(0, float("inf"), capacity=config.capacity)
  model, dynamics, planner, particles = make_model_planner(spec, config.model, config.planner)
  is_gp = model.kind == "GP"
  rate = config.fit.gp_learning_rate if is_gp else config.fit.learning_rate
  optimizer = make_optimizer(rate)
  predict = make_predict(dynamics, particles=particles) if config.log_predictions else None
  parts = _Parts(spec, config, model, optimizer, planner, predict)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=lambda state: ActParams(state.learn.params, state.learn.fresh, state.learn.fitted),
    act=lambda params, carry, obs, key: _act(parts, params, carry, obs, key),
    reset=lambda params, carry: _reset(spec, params, carry),
    observe=lambda state, transitions: _observe(spec, state, transitions),
    update=lambda state: _update(parts, state),
    budget=Budget(trials, "trials", episodes=sum(trials.values())),
    deploy=_deploy,
    diagnostics=Diagnostics(
      dynamics, lambda state: state.learn.params, planned=lambda carry: carry.plan
    ),
    idle=lambda state: state.learn.due,  # until the fit after each episode
  )


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  spec, config, model = parts.spec, parts.config, parts.model
  model_key, key = jax.random.split(key)
  blank, no = blank_transition(spec), jnp.zeros((), bool)
  inputs = jnp.concatenate([spec.encode(blank.obs), blank.action])
  params = model.init(model_key, inputs, spec.target(blank.obs, blank.obs))
  capacity = config.capacity or (config.trials + config.init_trials) * spec.episode_length
  opt_state, fresh = init_optimizer(model, parts.optimizer, params), parts.planner.init()
  learn = Learn(params, opt_state, ring.init(capacity, blank), no, jnp.copy(no), fresh)
  random = warm_up_actions(config.init_trials * spec.episode_length, envs)
  return TrainState(learn, initial_carry(fresh, random), None, key, jnp.zeros((), jnp.int32))


def _act(
  parts: _Parts, params: ActParams, carry: PlanCarry, obs: Array, key: Key
) -> tuple[Array, PlanCarry, Metrics]:
  """Takes the planner's action, after uniform warm-up actions."""
  random_key, plan_key, predict_key = jax.random.split(key, 3)
  random = (carry.random > 0) | ~params.ready
  uniform = uniform_action(parts.spec, random_key)
  action, plan, info = plan_or_follow(
    parts.planner, random, uniform, params.model, obs, carry.plan, plan_key
  )
  info["random"] = random.astype(jnp.float32)
  if parts.predict is not None:
    age = carry.plan.age
    info["prediction"] = _predict(parts.predict, params.model, age, plan.plan, obs, predict_key)
  return action, PlanCarry(plan, decrement(carry.random)), info


def _reset(spec: EnvSpec, params: ActParams, carry: PlanCarry) -> PlanCarry:
  """Drops the plan, and the uniform actions left of an episode that ended early."""
  return PlanCarry(params.fresh, carry.random - carry.random % spec.episode_length)


def _deploy(params: ActParams) -> tuple[ActParams, PlanCarry]:
  """Returns parameters and carry for deployment: no warm-up."""
  return params._replace(ready=jnp.ones((), bool)), deployed_carry(params.fresh)


def _predict(
  predict: PredictFn, params: Params, age: Array, plan: Array, obs: Array, key: Key
) -> Array:
  """Predicts states ``[H + 1, P, O]`` under the rest of the current plan, then NaN."""
  states = predict(params, obs, jnp.roll(plan, -age, axis=0), key)
  known = jnp.arange(len(states)) < len(states) - age
  return jnp.where(known[:, None, None], states, jnp.nan)


def _observe(spec: EnvSpec, state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions; the end of a non-uniform episode makes a fit due."""
  buffer = ring.add_batch(state.learn.buffer, transitions)
  done = transitions.terminated | transitions.truncated
  enough = (state.carry.random < spec.episode_length) & (buffer.size > 0)
  due = state.learn.due | (done & enough).any()
  return state._replace(learn=state.learn._replace(buffer=buffer, due=due))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the model to all data if an episode has ended."""
  spec, config, model = parts.spec, parts.config, parts.model
  learn, due = state.learn, state.learn.due
  data, size = learn.buffer.data, learn.buffer.size

  def run(key: Key, epochs: Array) -> FitResult:
    inputs = jnp.concatenate([jax.vmap(spec.encode)(data.obs), data.action], axis=1)
    return fit(
      model,
      learn.params,
      learn.opt_state,
      inputs,
      jax.vmap(spec.target)(data.obs, data.next_obs),
      size,
      key,
      optimizer=parts.optimizer,
      epochs=epochs,
      batch_size=None if model.kind == "GP" else config.fit.batch_size,
    )

  def refit() -> tuple[FitResult, Key]:
    fit_key, key = jax.random.split(state.key)
    return run(fit_key, epochs), key

  def skip() -> tuple[FitResult, Key]:
    shapes = jax.eval_shape(run, state.key, jnp.zeros((), jnp.int32)).metrics
    metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return FitResult(learn.params, learn.opt_state, metrics), state.key

  # Under vmap both branches run; 0 epochs then leave everything unchanged.
  passes = config.fit.gp_epochs if model.kind == "GP" else config.fit.epochs
  epochs = jnp.where(due, passes, 0)
  # The key is split per fit, not per call, so that the chunk size changes nothing.
  (params, opt_state, metrics), key = jax.lax.cond(due, refit, skip)
  metrics = {**metrics, "ran": due.astype(jnp.float32)}
  learn = learn._replace(
    params=params, opt_state=opt_state, due=jnp.zeros((), bool), fitted=learn.fitted | due
  )
  return state._replace(learn=learn, key=key), metrics
