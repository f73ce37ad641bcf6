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

from mbrl_jax.algorithms.controller import PlannerConfig, make_controller
from mbrl_jax.algorithms.model import FitConfig, ModelConfig, make_model
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.algorithms.transitions import blank_transition
from mbrl_jax.buffers import ring
from mbrl_jax.models import as_dynamics, fit, init_optimizer, make_optimizer
from mbrl_jax.models.fit import FitResult
from mbrl_jax.models.propagate import check_propagation
from mbrl_jax.ops.validate import between, positive, prefixed
from mbrl_jax.planners import make_predict
from mbrl_jax.types import (
  Algorithm,
  Array,
  EnvSpec,
  Insight,
  Key,
  Metrics,
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


class Act(NamedTuple):
  """What acting needs.

  Attributes:
    params: parameters of the model.
    plan: state of the planner.
    fresh: that with which every episode begins.
    random: uniform actions still to take before planning if no episode ends early,
      ``[]`` int32.
  """

  params: Any
  plan: PlanState
  fresh: PlanState
  random: Array


class Learn(NamedTuple):
  """What learning needs besides.

  Attributes:
    opt_state: of the model's optimiser.
    buffer: all transitions.
    due: whether an episode has ended since the last fit, ``[]`` bool.
  """

  opt_state: Any
  buffer: ring.Ring
  due: Array


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
    init=lambda key: _init(spec, config, model, planner, optimizer, key),
    reset=lambda act: act._replace(plan=act.fresh),
    act=lambda act, obs, key: _act(spec, planner, predict, act, obs, key),
    observe=lambda state, transition: _observe(spec, state, transition),
    update=lambda state: _update(spec, config, model, optimizer, state),
    deploy=lambda act: act._replace(random=jnp.zeros_like(act.random)),
    insight=Insight(dynamics, lambda state: state.act.params, planned=lambda act: act.plan),
    idle=lambda state: _idle(sum(trials.values()), state),
  )


def _init(spec, config, model, planner, optimizer, key) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  model_key, key = jax.random.split(key)
  blank = blank_transition(spec)
  inputs = jnp.concatenate([spec.encode(blank.obs), blank.action])
  params = model.init(model_key, inputs, spec.target(blank.obs, blank.obs))
  random = jnp.asarray(config.init_trials * spec.episode_length, jnp.int32)
  capacity = config.capacity or (config.trials + config.init_trials) * spec.episode_length
  buffer = ring.init(capacity, blank)
  return TrainState(
    Act(params, planner.init(), planner.init(), random),
    Learn(init_optimizer(model, optimizer, params), buffer, jnp.zeros((), bool)),
    None,
    key,
    jnp.zeros((), jnp.int32),
  )


def _act(spec, planner, predict, act, obs, key) -> tuple[Array, Act, Metrics]:
  """Takes a uniform action while any are left, then the plan's."""
  random_key, plan_key, predict_key = jax.random.split(key, 3)

  def explore() -> tuple[Array, PlanState, Array, Array]:
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    action = jax.random.uniform(random_key, low.shape, minval=low, maxval=high)
    return action, act.plan, jnp.zeros(()), jnp.zeros((), jnp.int32)

  def exploit() -> tuple[Array, PlanState, Array, Array]:
    output, plan = planner.plan(act.params, obs, act.plan, plan_key)
    return output.action, plan, output.value, output.metrics["nonfinite"]

  random = act.random > 0
  action, plan, value, nonfinite = jax.lax.cond(random, explore, exploit)
  info = {"value": value, "nonfinite": nonfinite, "random": random.astype(jnp.float32)}
  if predict is not None:
    info["prediction"] = _predict(predict, act, plan.plan, obs, predict_key)
  return action, act._replace(plan=plan, random=jnp.maximum(act.random - 1, 0)), info


def _predict(predict, act: Act, plan: Array, obs: Array, key) -> Array:
  """Predicts ``[H + 1, P, O]`` from what is left of a plan that is executed; NaN behind it."""
  age = act.plan.age
  states = predict(act.params, obs, jnp.roll(plan, -age, axis=0), key)
  known = jnp.arange(len(states)) < len(states) - age
  return jnp.where(known[:, None, None], states, jnp.nan)


def _observe(spec: EnvSpec, state: TrainState, transition: Transition) -> TrainState:
  """Stores a transition; the end of an episode makes a fit due."""
  learn, act = state.learn, state.act
  done = transition.terminated | transition.truncated
  # what an episode that ended early has left of its uniform actions is not taken in the next
  random = jnp.where(done, act.random - act.random % spec.episode_length, act.random)
  buffer = ring.add(learn.buffer, transition)
  # nobody plans with a model that has seen nothing
  random = jnp.where(done & (buffer.size == 0), spec.episode_length, random)
  learn = learn._replace(buffer=buffer, due=learn.due | (done & (random == 0)))
  return state._replace(act=act._replace(random=random), learn=learn)


def _idle(episodes: int, state: TrainState) -> Array:
  """Waits for the fit that follows each episode, and for good after the last one."""
  return state.learn.due | (state.rollout.episodes >= episodes)


def _update(spec, config, model, optimizer, state) -> tuple[TrainState, Metrics]:
  """Fits the model to all data if an episode has ended."""
  learn, due = state.learn, state.learn.due
  data, size = learn.buffer.data, learn.buffer.size

  def run(key: Key, epochs: Array) -> FitResult:
    inputs = jnp.concatenate([jax.vmap(spec.encode)(data.obs), data.action], axis=1)
    return fit(
      model,
      state.act.params,
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
    return FitResult(state.act.params, learn.opt_state, metrics), state.key

  # Under vmap both branches run: then no epochs make the fit leave all as it is.
  epochs = config.fit.gp_epochs if model.kind == "GP" else config.fit.epochs
  epochs = jnp.where(due, epochs, 0)
  # The key moves on with fits, not with calls, so that chunking changes nothing.
  (params, opt_state, metrics), key = jax.lax.cond(due, refit, skip)
  metrics = {**metrics, "ran": due.astype(jnp.float32)}
  learn = Learn(opt_state, learn.buffer, jnp.zeros((), bool))
  return state._replace(act=state.act._replace(params=params), learn=learn, key=key), metrics
