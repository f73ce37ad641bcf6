"""PETS: probabilistic ensembles with trajectory sampling.

Collect ``init_trials`` episodes of uniform actions, then repeat: fit the model
to all data so far, run one episode of model-predictive control.

Source: Chua et al. 2018, "Deep Reinforcement Learning in a Handful of Trials
using Probabilistic Dynamics Models", and the released code.

Deviations:
  * The model is fitted after the last episode too, so that what is saved is
    what all data support.
  * A replayed plan (``replan_every`` above one) is dropped when an episode ends;
    the original goes on replaying it in the next episode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.dynamics_config import FitConfig, ModelConfig, make_model
from mbrl_jax.algorithms.parts.plan_or_follow import (
  PlanCarry,
  begin,
  begin_deployed,
  plan_or_follow,
)
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig, make_controller
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.algorithms.parts.warm_up import actions_left, one_less, uniform_action
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.models import as_dynamics, fit, init_optimizer, make_optimizer
from mbrl_jax.models.fit import FitResult
from mbrl_jax.models.propagate import check_propagation
from mbrl_jax.ops.validate import between, positive, prefixed
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
  PlanState,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config:
  """PETS; the defaults are the paper's for cart-pole.

  Attributes:
    trials: episodes of model-predictive control; after them the run is over.
    init_trials: episodes of uniform actions before them.
    capacity: transitions kept, the oldest go first; 0: as many as the run can take.
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


class ActParams(NamedTuple):
  """What acting needs.

  Attributes:
    model: parameters of the model.
    fresh: the state of the planner with which every episode begins.
    ready: whether the model has been fitted, ``[]`` bool; until then actions are uniform.
  """

  model: Params
  fresh: PlanState
  ready: Array


class Learn(NamedTuple):
  """What was learned, and what learning needs.

  Attributes:
    params: parameters of the model.
    opt_state: of its optimiser.
    buffer: all transitions.
    due: whether an episode has ended since the last fit, ``[]`` bool.
    fitted: whether there has been a fit, ``[]`` bool.
    fresh: see ``ActParams``.
  """

  params: Params
  opt_state: Any
  buffer: ring.Ring
  due: Array
  fitted: Array
  fresh: PlanState


@in_single_precision
def make_pets(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes PETS for a task.

  Raises:
    ValueError: unknown names, combinations that cannot work (trajectory sampling
      with one net, particles that do not divide among the nets) or sizes that
      are not positive.
  """
  trials = {"trials": config.trials, "init_trials": config.init_trials}
  positive(**trials, **{f"fit.{name}": value for name, value in vars(config.fit).items()})
  between(0, float("inf"), capacity=config.capacity)
  model = make_model(config.model)
  with prefixed("model"):
    check_propagation(model.kind, config.model.propagation)
  dynamics = as_dynamics(
    model,
    reward=spec.reward,
    terminated=spec.terminated,
    encode=spec.encode,
    decode=spec.decode,
    propagation=config.model.propagation,
    outputs=spec.obs_dim,
  )
  particles = 1 if config.model.propagation == "E" else config.planner.particles
  planner = make_controller(spec, dynamics, particles, config.planner)
  is_gp = model.kind == "GP"
  rate = config.fit.gp_learning_rate if is_gp else config.fit.learning_rate
  optimizer = make_optimizer(rate)
  predict = make_predict(dynamics, particles=particles) if config.log_predictions else None
  return Algorithm(
    init=lambda key, envs=1: _init(spec, config, model, planner, optimizer, key, envs),
    params=lambda state: ActParams(state.learn.params, state.learn.fresh, state.learn.fitted),
    act=lambda params, carry, obs, key: _act(spec, planner, predict, params, carry, obs, key),
    reset=lambda params, carry: _reset(spec, params, carry),
    observe=lambda state, transitions: _observe(spec, state, transitions),
    update=lambda state: _update(spec, config, model, optimizer, state),
    budget=Budget(trials, "trials", episodes=sum(trials.values())),
    deploy=_deploy,
    diagnostics=Diagnostics(
      dynamics, lambda state: state.learn.params, planned=lambda c: c.plan
    ),
    idle=lambda state: state.learn.due,  # until the fit that follows each episode
  )


def _init(spec, config, model, planner, optimizer, key, envs) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  model_key, key = jax.random.split(key)
  blank, no = blank_transition(spec), jnp.zeros((), bool)
  inputs = jnp.concatenate([spec.encode(blank.obs), blank.action])
  params = model.init(model_key, inputs, spec.target(blank.obs, blank.obs))
  capacity = config.capacity or (config.trials + config.init_trials) * spec.episode_length
  opt_state, fresh = init_optimizer(model, optimizer, params), planner.init()
  learn = Learn(params, opt_state, ring.init(capacity, blank), no, jnp.copy(no), fresh)
  random = actions_left(config.init_trials * spec.episode_length, envs)
  return TrainState(learn, begin(fresh, random), None, key, jnp.zeros((), jnp.int32))


def _act(spec, planner, predict, params, carry, obs, key) -> tuple[Array, PlanCarry, Metrics]:
  """Takes a uniform action while any are left, then the plan's."""
  random_key, plan_key, predict_key = jax.random.split(key, 3)
  random = (carry.random > 0) | ~params.ready
  uniform = uniform_action(spec, random_key)
  action, plan, info = plan_or_follow(
    planner, random, uniform, params.model, obs, carry.plan, plan_key
  )
  info["random"] = random.astype(jnp.float32)
  if predict is not None:
    info["prediction"] = _predict(predict, params, carry, plan.plan, obs, predict_key)
  return action, PlanCarry(plan, one_less(carry.random)), info


def _reset(spec: EnvSpec, params: ActParams, carry: PlanCarry) -> PlanCarry:
  """Drops the plan, and what an episode that ended early has left of its uniform actions."""
  return PlanCarry(params.fresh, carry.random - carry.random % spec.episode_length)


def _deploy(params: ActParams) -> tuple[ActParams, PlanCarry]:
  """Returns what an evaluation acts with: it plans from the first step on."""
  return params._replace(ready=jnp.ones((), bool)), begin_deployed(params.fresh)


def _predict(
  predict, params: ActParams, carry: PlanCarry, plan: Array, obs: Array, key
) -> Array:
  """Predicts ``[H + 1, P, O]`` from what is left of a plan that is executed; NaN behind it."""
  age = carry.plan.age
  states = predict(params.model, obs, jnp.roll(plan, -age, axis=0), key)
  known = jnp.arange(len(states)) < len(states) - age
  return jnp.where(known[:, None, None], states, jnp.nan)


def _observe(spec: EnvSpec, state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions; the end of an episode that was not to be uniform makes a fit due."""
  buffer = ring.add_batch(state.learn.buffer, transitions)
  done = transitions.terminated | transitions.truncated
  enough = (state.carry.random < spec.episode_length) & (buffer.size > 0)
  due = state.learn.due | (done & enough).any()
  return state._replace(learn=state.learn._replace(buffer=buffer, due=due))


def _update(spec, config, model, optimizer, state) -> tuple[TrainState, Metrics]:
  """Fits the model to all data if an episode has ended."""
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
      optimizer=optimizer,
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

  # Under vmap both branches run: then no epochs make the fit leave all as it is.
  epochs = config.fit.gp_epochs if model.kind == "GP" else config.fit.epochs
  epochs = jnp.where(due, epochs, 0)
  # The key moves on with fits, not with calls, so that chunking changes nothing.
  (params, opt_state, metrics), key = jax.lax.cond(due, refit, skip)
  metrics = {**metrics, "ran": due.astype(jnp.float32)}
  learn = learn._replace(
    params=params, opt_state=opt_state, due=jnp.zeros((), bool), fitted=learn.fitted | due
  )
  return state._replace(learn=learn, key=key), metrics
