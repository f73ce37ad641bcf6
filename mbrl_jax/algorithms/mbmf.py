"""MBMF, its model-based part: random-shooting MPC with data aggregation.

``init_steps`` uniform actions, or a recorded data set of them, then again and again: fit a
deterministic net of normalised differences to old, random and new, planned data in fixed
shares, run MPC for ``update_every`` steps. A fit reports its errors on old and new data, and
those of open-loop predictions of up to 100 steps on validation episodes, which it never sees.

Source: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning", and its released code.

Deviations:
  * Iterations are counted in environment steps, not in rollouts; the running episode goes on
    after a fit.
  * The model learns from the executed action. The released code stores the action before its
    noise is added, so its model sees an unexplained disturbance.
  * A plan is scored by the rewards of its ``H`` transitions. The released code sums costs over
    ``H + 1`` points, the current state included, and applies the last action twice: that is the
    same up to a constant and one more action cost of the last action.
  * See ``parts.aggregated_fit``, and ``parts.split_buffer``, ``parts.mixed_fit`` and
    ``parts.multistep_errors``, which it uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.algorithms.parts.aggregated_fit import fit_rows
from mbrl_jax.algorithms.parts.dynamics_config import ModelConfig
from mbrl_jax.algorithms.parts.mixed_fit import MixedFitConfig
from mbrl_jax.algorithms.parts.model_planner import ActParams, ModelPlanner, make_model_planner
from mbrl_jax.algorithms.parts.noisy_planner import act_with_noise, deploy_without_noise
from mbrl_jax.algorithms.parts.plan_or_follow import PlanCarry, initial_carry
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.algorithms.parts.split_buffer import (
  SplitBuffer,
  add_split,
  init_split,
  load_split,
  sort_rows,
)
from mbrl_jax.algorithms.parts.warm_up import warm_up_actions
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.models import init_optimizer, make_optimizer
from mbrl_jax.models.ensemble import NET_KINDS
from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
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
  Preload,
  TrainState,
  Transition,
)

SEMANTICS = ("corrected", "released")


@dataclass(frozen=True)
class Config:
  """MBMF; the defaults are the released values for the half-cheetah.

  Attributes:
    steps: environment steps of the run, of all environments together.
    init_steps: uniform actions before the first fit; with a ``dataset`` there are none.
    update_every: environment steps of MPC between two fits.
    validation_every: every so many-th episode of each environment is kept for validation and
      never trained on; 0: none.
    dataset: file of transitions of random actions, see runtime.storage.dataset; empty: none.
    capacity: transitions kept, the oldest overwritten first; 0: all of the run and of the
      dataset.
    action_noise: standard deviation of the Gaussian noise on executed actions, in units in
      which the bounds are -1 and 1.
    data_noise: standard deviation of the Gaussian noise on observations and targets in
      training, as a share of the mean's magnitude in each dimension.
    fraction_new: share of a batch drawn from the data of MPC.
    semantics: corrected or released, see ``parts.aggregated_fit``.
    model, fit, planner: see their classes.
  """

  steps: int = 81_000
  init_steps: int = 11_000
  update_every: int = 10_000
  validation_every: int = 10
  dataset: str = ""
  capacity: int = 0
  action_noise: float = 0.005
  data_noise: float = 0.01
  fraction_new: float = 0.9
  semantics: str = "corrected"
  model: ModelConfig = field(
    default_factory=lambda: ModelConfig(
      "D", "E", 1, (500,), "relu", weight_decay=(0.0,), normalize_targets=True
    )
  )
  fit: MixedFitConfig = field(default_factory=MixedFitConfig)
  planner: PlannerConfig = field(
    default_factory=lambda: PlannerConfig(
      "random_shooting", 1, horizon=20, particles=1, settings={"samples": 1000}
    )
  )


class Hyperparams(NamedTuple):
  """Floats that may change between calls, ``[]``."""

  action_noise: Array
  data_noise: Array
  fraction_new: Array


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    params: parameters of the model.
    opt_state: of its optimiser.
    buffer: all transitions.
    fits: fits so far, ``[]`` int32.
    fresh: initial planner state of an episode.
    hyperparams: see its class.
  """

  params: Params
  opt_state: optax.OptState
  buffer: SplitBuffer
  fits: Array
  fresh: PlanState
  hyperparams: Hyperparams


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  planning: ModelPlanner
  optimizer: optax.GradientTransformation

  @property
  def init_steps(self) -> int:
    """Environment steps before the first fit."""
    return 0 if self.config.dataset else self.config.init_steps


class _Fitted(NamedTuple):
  """What a fit changes."""

  params: Params
  opt_state: optax.OptState
  metrics: Any
  key: Key


@in_single_precision
def make_mbmf(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes MBMF for a task.

  Raises:
    ValueError: unknown names, invalid combinations, numbers out of range.
  """
  budget = _budget(config)
  planning = make_model_planner(spec, config.model, config.planner)
  if planning.model.kind not in NET_KINDS:
    nets = f"is not made of nets: choose one of {', '.join(NET_KINDS)}."
    raise ArgumentError("model.kind", config.model.kind, nets)
  parts = _Parts(spec, config, planning, make_optimizer(config.fit.learning_rate))
  preload = Preload(config.dataset, lambda state, rows: _preload(config, state, rows))
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=_params,
    act=lambda params, carry, obs, key: act_with_noise(
      spec, planning.planner, params, carry, obs, key
    ),
    reset=lambda params, carry: PlanCarry(params.fresh, carry.random),
    observe=lambda state, transitions: _observe(parts, state, transitions),
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=deploy_without_noise,
    diagnostics=Diagnostics(
      planning.dynamics, lambda state: state.learn.params, planned=lambda carry: carry.plan
    ),
    idle=lambda state: _due(parts, state) | (state.steps >= config.steps),
    preload=preload if config.dataset else None,
  )


def _budget(config: Config) -> Budget:
  """Returns the budget; checks the configuration."""
  counts = {"steps": config.steps, "update_every": config.update_every}
  if not config.dataset:
    counts["init_steps"] = config.init_steps
  positive(**counts, **{f"fit.{name}": value for name, value in vars(config.fit).items()})
  between(0, float("inf"), capacity=config.capacity, validation_every=config.validation_every)
  between(0.0, float("inf"), action_noise=config.action_noise, data_noise=config.data_noise)
  between(0.0, 1.0, fraction_new=config.fraction_new)
  choice("semantics", config.semantics, SEMANTICS)
  if counts.get("init_steps", 0) >= config.steps:
    text = "must be less than {}: the model is fitted after them."
    raise ArgumentError("init_steps", config.init_steps, text, ("steps", config.steps))
  if config.validation_every == 1:
    text = "keeps every episode for validation: nothing is left to train on."
    raise ArgumentError("validation_every", 1, text)
  return Budget(counts, "steps", steps=config.steps)


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  spec, config, planning = parts.spec, parts.config, parts.planning
  model_key, key = jax.random.split(key)
  blank = blank_transition(spec)
  inputs = jnp.concatenate([spec.encode(blank.obs), blank.action])
  params = planning.model.init(model_key, inputs, spec.target(blank.obs, blank.obs))
  fresh = planning.planner.init()
  learn = Learn(
    params=params,
    opt_state=init_optimizer(planning.model, parts.optimizer, params),
    buffer=init_split(spec, config.capacity or config.steps, envs),
    fits=jnp.zeros((), jnp.int32),
    fresh=fresh,
    hyperparams=Hyperparams(
      *(jnp.float32(getattr(config, name)) for name in Hyperparams._fields)
    ),
  )
  random = warm_up_actions(parts.init_steps, envs)
  return TrainState(learn, initial_carry(fresh, random), None, key, jnp.zeros((), jnp.int32))


def _preload(config: Config, state: TrainState, transitions: Transition) -> TrainState:
  """Stores the data set in a new run; for errors see ``load_split``."""
  buffer = load_split(
    state.learn.buffer, transitions, config.validation_every, grow=not config.capacity
  )
  return state._replace(learn=state.learn._replace(buffer=buffer))


def _params(state: TrainState) -> ActParams:
  """Returns the parameters for acting."""
  learn = state.learn
  return ActParams(learn.params, learn.fresh, learn.fits > 0, learn.hyperparams.action_noise)


def _due(parts: _Parts, state: TrainState) -> Array:
  """Returns whether a fit is due, ``[]`` bool; the environments wait for it."""
  begun = state.steps - parts.init_steps
  due = jnp.where(begun < 0, 0, 1 + begun // parts.config.update_every)
  return (state.learn.fits < due) & (state.steps < parts.config.steps)


def _observe(parts: _Parts, state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions."""
  random = state.steps <= parts.init_steps
  every = parts.config.validation_every
  buffer = add_split(state.learn.buffer, transitions, random, every)
  return state._replace(learn=state.learn._replace(buffer=buffer))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the model if a fit is due."""
  due, learn = _due(parts, state), state.learn

  def refit(_: Array, carry: _Fitted) -> _Fitted:
    fit_key, key = jax.random.split(carry.key)
    rows, floats = sort_rows(learn.buffer), learn.hyperparams
    result = fit_rows(
      parts.spec,
      parts.planning.model,
      carry.params,
      carry.opt_state,
      rows,
      fit_key,
      optimizer=parts.optimizer,
      settings=parts.config.fit,
      noise=floats.data_noise,
      fraction_new=floats.fraction_new,
      released=parts.config.semantics == "released",
    )
    return _Fitted(result.params, result.opt_state, result.metrics, key)

  before = _Fitted(learn.params, learn.opt_state, None, state.key)
  shapes = jax.eval_shape(refit, due, before).metrics
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  # A loop, because a condition would run both branches where several seeds share the program.
  after = jax.lax.fori_loop(0, due.astype(jnp.int32), refit, before._replace(metrics=zeros))
  learn = learn._replace(
    params=after.params, opt_state=after.opt_state, fits=learn.fits + due.astype(jnp.int32)
  )
  report = {**after.metrics, "ran": due.astype(jnp.float32)}
  return state._replace(learn=learn, key=after.key), report
