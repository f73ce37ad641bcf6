"""M-DeMoRL: mirror-descent MPC collects what soft actor-critic learns from; and LOOP.

The inner loop plans a few steps ahead in a learned ensemble, from the policy's own plans and
with the critics' value behind the horizon (``lookahead``); its action is taken. The transition
goes to ``D_ENV``, and what the plan was expected to do, in each elite, to ``D_MPC``. The outer
loop takes gradient steps of soft actor-critic on batches of both.

``loop`` is the same with exponential weights, the planner also in evaluations, and without
``D_MPC``: LOOP with its planner ARC. ``lookahead.pessimism`` is its offline variant's and
``lookahead.cost_limit`` its safe variant's.

With a ``dataset`` a run is offline: ``preload`` puts it into ``D_ENV``, where nothing is added
later. Model and actor-critic learn from it as otherwise; the environment is stepped by the
policy, which only shows how well it does.

Sources: Mishra et al. 2022, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning"; Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online
Planning".

Deviations: this is the paper's M-DeMoRL, elite fractions and ``D_MPC``. The released code
weighs exponentially and never fills ``D_MPC``, as ``lookahead.utility=exponential`` and
``real_ratio=1`` do here. Both begin with uniform actions; the released code plans with
untrained nets from the first step. Offline the actor-critic is plain SAC, where LOOP's
authors take learners that are made for it (from memory). See ``lookahead`` for the planner's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts import replay
from mbrl_jax.algorithms.parts.actor_critic import (
  Agent,
  AgentConfig,
  PolicyParams,
  critic,
  make_agent,
  no_metrics,
)
from mbrl_jax.algorithms.parts.lookahead import (
  LookaheadConfig,
  LookaheadHyperparams,
  PlannerParams,
  make_hyperparams,
  make_lookahead,
)
from mbrl_jax.algorithms.parts.model_rollouts import imagine
from mbrl_jax.algorithms.parts.plan_or_follow import (
  PlanCarry,
  begin,
  begin_deployed,
  plan_or_follow,
)
from mbrl_jax.algorithms.parts.warm_up import actions_left
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
from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Planner,
  PlanState,
  Preload,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config(replay.ReplayConfig):
  """M-DeMoRL; how long it runs and what it keeps, see ``ReplayConfig``.

  Uniform actions go on after ``init_steps`` until the model is fitted, at the end of the
  compiled call.

  Attributes:
    model_buffer_size: planned transitions kept.
    real_ratio: share of real transitions in a batch.
    evaluate: what acts in evaluations: policy or planner.
    dataset: file of transitions to learn from instead of the run's own, see
      runtime.dataset; empty: none. It needs real_ratio=1.
    agent, world, lookahead: see their classes.
  """

  model_buffer_size: int = 50_000
  real_ratio: float = 0.5
  evaluate: str = "policy"
  dataset: str = ""
  agent: AgentConfig = field(default_factory=lambda: AgentConfig(learning_rate=1e-3))
  world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
  lookahead: LookaheadConfig = field(default_factory=LookaheadConfig)


@dataclass(frozen=True)
class LoopConfig(Config):
  """LOOP; see M-DeMoRL's fields."""

  real_ratio: float = 1.0
  evaluate: str = "planner"
  lookahead: LookaheadConfig = field(
    default_factory=lambda: LookaheadConfig(utility="exponential")
  )


class ActParams(NamedTuple):
  """What acting needs.

  Attributes:
    planner_params: what the planner plans with, and the policy.
    fresh: the state of the planner with which every episode begins.
    ready: whether there is anything to plan with, ``[]`` bool; until then actions are uniform.
    greedy: whether this is an evaluation, ``[]`` bool.
  """

  planner_params: PlannerParams
  fresh: PlanState
  ready: Array
  greedy: Array


class Planned(NamedTuple):
  """A plan and where it begins.

  Attributes:
    obs: ``[O]``.
    plan: ``[H, A]``.
  """

  obs: Array
  plan: Array


class Learn(NamedTuple):
  """What was learned, and what learning needs.

  Attributes:
    sac: the actor-critic's state.
    world_model: the ensemble's.
    real: ``D_ENV``.
    planned: ``D_MPC``.
    waiting: plans that have not been rolled out into ``D_MPC``.
    real_ratio: share of real transitions in a batch, ``[]``.
    hyperparams: numbers of the planner.
    fresh: see ``ActParams``.
    metrics: of the latest gradient step of the actor-critic.
  """

  sac: SACState
  world_model: WorldModelState
  real: ring.Ring
  planned: ring.Ring
  waiting: ring.Ring
  real_ratio: Array
  hyperparams: LookaheadHyperparams
  fresh: PlanState
  metrics: Metrics


class _Parts(NamedTuple):
  """What the functions of the algorithm are made of."""

  spec: EnvSpec
  config: Config
  agent: Agent
  world_model: WorldModel
  planner: Planner


@in_single_precision
def make_demorl(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes M-DeMoRL, or with ``LoopConfig`` LOOP, for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, shares outside 0 to 1,
      unknown names.
  """
  budget = replay.counted_in_steps(config, config.agent.batch_size)
  positive(model_buffer_size=config.model_buffer_size)
  between(0.0, 1.0, real_ratio=config.real_ratio)
  choice("evaluate", config.evaluate, ("policy", "planner"))
  if config.dataset and config.real_ratio < 1:
    raise ArgumentError(
      "dataset",
      config.dataset,
      "needs {}, not {}: offline nothing is planned in training, so there are no planned "
      "transitions.",
      ("real_ratio", 1),
      ("real_ratio", config.real_ratio),
    )
  agent, world_model = (
    make_agent(spec, config.agent),
    make_world_model(spec, config.world_model),
  )
  planner = make_lookahead(spec, config.lookahead, agent, world_model)
  parts = _Parts(spec, config, agent, world_model, planner)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=lambda state: _params(config, state),
    act=lambda params, carry, obs, key: _act(parts, params, carry, obs, key),
    reset=lambda params, carry: carry._replace(plan=params.fresh),
    observe=lambda state, transitions: _observe(config, state, transitions),
    learn=lambda state, steps: _learn(parts, state, steps),
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=_deploy,
    plans=config.evaluate == "planner",
    diagnostics=Diagnostics(
      world_model.dynamics,
      lambda state: elite_params(state.learn.world_model),
      critic(spec, agent),
      agent.discount,
      lambda carry: carry.plan,
    ),
    preload=Preload(config.dataset, _preload) if config.dataset else None,
  )


def _preload(state: TrainState, transitions: Transition) -> TrainState:
  """Puts the transitions of an offline run, leaves ``[n, ...]``, into a new run's ``D_ENV``.

  Raises:
    ValueError: there are more of them than it holds.
  """
  real, count = state.learn.real, len(transitions.reward)
  if count > real.capacity:
    text = f"is less than the {count} transitions of the dataset: set {{}}."
    raise ArgumentError("capacity", real.capacity, text, ("capacity", count))
  real = ring.add_many(real, transitions, jnp.ones(count, bool))
  return state._replace(learn=state.learn._replace(real=real))


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  config, spec, horizon = parts.config, parts.spec, parts.config.lookahead.horizon
  blank = replay.blank_transition(spec)
  sac_key, world_key, key = jax.random.split(key, 3)
  sac, world_model = parts.agent.init(sac_key), parts.world_model.init(world_key)
  plan = Planned(blank.obs, jnp.zeros((horizon, spec.action_dim)))
  fresh = parts.planner.init()
  learn = Learn(
    sac=sac,
    world_model=world_model,
    real=replay.empty(config, spec),
    planned=ring.init(config.model_buffer_size, blank, count_dropped=True),
    waiting=ring.init(max(envs, spec.episode_length) if config.real_ratio < 1 else 1, plan),
    real_ratio=jnp.asarray(config.real_ratio, jnp.float32),
    hyperparams=make_hyperparams(config.lookahead, config.agent.discount),
    fresh=fresh,
    metrics=no_metrics(parts.agent, sac, blank, config.agent.batch_size),
  )
  left = actions_left(0 if config.dataset else config.init_steps, envs)
  return TrainState(learn, begin(fresh, left), None, key, jnp.zeros((), jnp.int32))


def _params(config: Config, state: TrainState) -> ActParams:
  """Returns what acting needs; nobody plans with a model that is not fitted."""
  learn = state.learn
  nets = learn.sac.nets
  planner_params = PlannerParams(
    elite_params(learn.world_model), nets.actor, nets.critics, learn.hyperparams
  )
  ready = jnp.ones((), bool) if config.dataset else fitted(learn.world_model)
  return ActParams(planner_params, learn.fresh, ready, jnp.zeros((), bool))


def _deploy(params: ActParams) -> tuple[ActParams, PlanCarry]:
  """Returns what an evaluation acts with: from the first step on without exploration."""
  yes = jnp.ones((), bool)
  return params._replace(ready=yes, greedy=yes), begin_deployed(params.fresh)


def _act(
  parts: _Parts, params: ActParams, carry: PlanCarry, obs: Array, key: Key
) -> tuple[Array, PlanCarry, Metrics]:
  """Takes the policy's action, uniform at first, or the planner's."""
  policy_key, plan_key = jax.random.split(key)
  policy = PolicyParams(params.planner_params.actor, params.greedy)
  left = jnp.maximum(carry.random, jnp.where(params.ready, 0, 1))
  chosen, random, info = parts.agent.act(policy, left, obs, policy_key)
  by_policy = left > 0
  if parts.config.evaluate == "policy":
    by_policy |= params.greedy
  if parts.config.dataset:
    by_policy |= ~params.greedy
  action, plan, of_plan = plan_or_follow(
    parts.planner, by_policy, chosen, params.planner_params, obs, carry.plan, plan_key
  )
  return action, PlanCarry(plan, random), {**info, **of_plan}


def _observe(config: Config, state: TrainState, transitions: Transition) -> TrainState:
  """Stores what happened and what was planned."""
  learn = state.learn
  if not config.dataset:
    learn = learn._replace(real=ring.add_batch(learn.real, transitions))
  if config.real_ratio < 1:
    made = Planned(transitions.obs, state.carry.plan.plan)
    learn = learn._replace(waiting=ring.add_batch(learn.waiting, made))
  return state._replace(learn=learn)


def _learn(parts: _Parts, state: TrainState, steps: int) -> TrainState:
  """Rolls plans out into ``D_MPC``, and takes the gradient steps that steps are worth."""
  config, learn = parts.config, state.learn
  key, update_key, roll_key = jax.random.split(state.key, 3)
  begun = _begun(config, state)
  planned, waiting = learn.planned, learn.waiting
  if config.real_ratio < 1:
    planned, waiting = _roll_out(parts, learn, begun, steps, roll_key)
  sac, metrics = parts.agent.update(
    learn.sac,
    lambda key: ring.sample_two(
      learn.real, planned, key, config.agent.batch_size, learn.real_ratio
    ),
    update_key,
    begun & ((planned.size > 0) | (learn.real_ratio >= 1)),
    state.steps,
    steps,
  )
  learn = learn._replace(sac=sac, planned=planned, waiting=waiting, metrics=metrics)
  return state._replace(learn=learn, key=key)


def _begun(config: Config, state: TrainState) -> Array:
  """Tells whether the uniform actions are over and there is something to learn from."""
  first = 0 if config.dataset else config.init_steps
  return (state.steps >= first) & (state.learn.real.size > 0)


def _roll_out(
  parts: _Parts, learn: Learn, begun: Array, steps: int, key: Key
) -> tuple[ring.Ring, ring.Ring]:
  """Rolls the oldest ``steps`` plans that wait out, in each elite, and drops them."""
  elites, waiting = parts.world_model.dynamics.slices, learn.waiting
  rows = (waiting.cursor - waiting.size + jnp.arange(steps)) % waiting.capacity
  made: Planned = jax.tree.map(lambda x: x[rows], waiting.data)
  # a plan from an observation that was not finite is not among them
  known = (jnp.arange(steps) < waiting.size)[:, None]
  starts = jnp.where(known, made.obs, jnp.nan)
  whose = jnp.tile(jnp.arange(steps), elites)  # each elite rolls all of them out
  planned = imagine(
    parts.world_model.dynamics,
    elite_params(learn.world_model),
    starts[whose],
    lambda t, row, obs, key: made.plan[whose[row], t],
    jnp.where(begun & fitted(learn.world_model), parts.config.lookahead.horizon, 0),
    key,
    store=ring.add_many,
    carry=learn.planned,
    redraw=False,
  )
  return planned, waiting._replace(size=jnp.maximum(waiting.size - steps, 0))


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble, from the end of the random steps on."""
  fit_key, key = jax.random.split(state.key)
  learn, begun = state.learn, _begun(parts.config, state)
  epochs = jnp.where(begun, parts.config.world_model.epochs, 0)
  world_model, report = parts.world_model.fit(learn.world_model, learn.real, fit_key, epochs)
  metrics = {
    **learn.metrics,
    **report,
    "nonfinite_imagined": learn.planned.dropped,
    "ran": begun.astype(jnp.float32),
  }
  return state._replace(learn=learn._replace(world_model=world_model), key=key), metrics
