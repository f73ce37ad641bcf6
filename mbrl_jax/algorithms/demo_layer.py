"""The DeMo layer: a planner that is guided by a linear policy which random search moves.

The planner of M-DeMoRL (``lookahead``), without a value behind its horizon, plans over a
learned ensemble; rollouts of a linear policy compete with its plans. Its action is taken. In
each episode the policy is one of the trials of augmented random search, ``W + nu d`` or
``W - nu d``, and the return of the episode, planner included, is that of the trial. When all
trials are done the policy moves (``learners.ars``). The ensemble is fitted as transitions come.

Evaluations act with the planner around the policy that was last moved, or with that policy
alone (``evaluate``).

Source: Samineni et al. 2021, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning" (its DeMo layer); only its summary was at hand.

Deviations:
  * Details that the summary leaves open are this file's: one episode for each trial, and no
    trials during the uniform actions at the start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.lookahead import (
  Belief,
  LookaheadConfig,
  make_guided_planner,
  make_tuning,
)
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.algorithms.transitions import blank_transition
from mbrl_jax.algorithms.world import (
  World,
  WorldConfig,
  WorldState,
  elite_params,
  fitted,
  make_world,
)
from mbrl_jax.buffers import ring
from mbrl_jax.learners.ars import ARS, ARSState, LinearPolicy, make_ars
from mbrl_jax.ops.validate import between, choice, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  EnvSpec,
  Insight,
  Key,
  Metrics,
  Planner,
  PlanState,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config:
  """The DeMo layer.

  Attributes:
    steps: environment steps of the run.
    init_steps: uniform actions before anything is planned or learnt; they go on until the
      model is fitted, at the end of the compiled call.
    capacity: transitions kept; 0: all of the run.
    update_every: environment steps between fits of the model, in one compiled call.
    directions: N of random search; it takes 2 N episodes to move the policy.
    top: b, directions that move it.
    step_size: alpha.
    noise: nu, length of the steps to either side.
    evaluate: what acts in evaluations: planner or policy.
    world, lookahead: see their classes.
  """

  steps: int = 20_000
  init_steps: int = 1000
  capacity: int = 0
  update_every: int = 250
  directions: int = 4
  top: int = 2
  step_size: float = 0.1
  noise: float = 0.1
  evaluate: str = "planner"
  world: WorldConfig = field(default_factory=WorldConfig)
  lookahead: LookaheadConfig = field(default_factory=lambda: LookaheadConfig(horizon=15))


class Act(NamedTuple):
  """What acting needs.

  Attributes:
    belief: what is planned with; its actor is the policy on trial.
    moved: the policy that was last moved.
    plan: the planner's state.
    fresh: that with which every episode begins.
    random: uniform actions still to take before, ``[]`` int32.
    greedy: whether this is an evaluation, ``[] bool``.
  """

  belief: Belief
  moved: LinearPolicy
  plan: PlanState
  fresh: PlanState
  random: Array
  greedy: Array


class Learn(NamedTuple):
  """What learning needs besides.

  Attributes:
    ars: the state of random search.
    returns: of the trials that are done ``[N, 2]``.
    trial: the one under way, ``[]`` int32.
    total: rewards of the episode so far, ``[]``.
    whole: whether the episode so far is without uniform actions, ``[] bool``.
    world: the ensemble's.
    buffer: transitions.
    metrics: of the last move.
  """

  ars: ARSState
  returns: Array
  trial: Array
  total: Array
  whole: Array
  world: WorldState
  buffer: ring.Ring
  metrics: Metrics


class _Parts(NamedTuple):
  """What the functions of the algorithm are made of."""

  spec: EnvSpec
  config: Config
  ars: ARS
  world: World
  planner: Planner


@in_single_precision
def make_demo_layer(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes the DeMo layer for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, unknown names.
  """
  names = ("steps", "init_steps", "update_every")
  positive(**{name: getattr(config, name) for name in names})
  between(0, float("inf"), capacity=config.capacity)
  choice("evaluate", config.evaluate, ("planner", "policy"))
  (size,) = jax.eval_shape(spec.encode, jnp.zeros(spec.obs_dim)).shape
  ars = make_ars(
    size,
    spec.action_low,
    spec.action_high,
    directions=config.directions,
    top=config.top,
    step_size=config.step_size,
    noise=config.noise,
  )
  world = make_world(spec, config.world)
  policy = lambda belief, obs, key: ars.act(belief.actor, spec.encode(obs))
  planner = make_guided_planner(spec, config.lookahead, world, policy)
  parts = _Parts(spec, config, ars, world, planner)
  return Algorithm(
    init=lambda key: _init(parts, key),
    reset=lambda act: act._replace(plan=act.fresh),
    act=lambda act, obs, key: _act(parts, act, obs, key),
    observe=lambda state, transition: _observe(parts, state, transition),
    update=lambda state: _update(parts, state),
    deploy=_deploy,
    plans=config.evaluate == "planner",
    insight=Insight(
      world.dynamics,
      lambda state: elite_params(state.learn.world),
      planned=lambda act: act.plan,
    ),
  )


def _deploy(act: Act) -> Act:
  """Returns what an evaluation acts with: the policy that was last moved."""
  return act._replace(
    belief=act.belief._replace(actor=act.moved),
    random=jnp.zeros_like(act.random),
    greedy=jnp.ones_like(act.greedy),
  )


def _init(parts: _Parts, key: Key) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  config, none = parts.config, jnp.zeros((), jnp.int32)
  ars_key, world_key, key = jax.random.split(key, 3)
  ars, world = parts.ars.init(ars_key), parts.world.init(world_key)
  tuning = make_tuning(config.lookahead)
  belief = Belief(elite_params(world), parts.ars.tried(ars, none), (), tuning)
  random = jnp.asarray(config.init_steps, jnp.int32)
  plan = parts.planner.init()
  act = Act(belief, ars.policy, plan, plan, random, jnp.zeros((), bool))
  returns = jnp.zeros((config.directions, 2))
  shapes = jax.eval_shape(parts.ars.update, ars, returns, key)[1]
  metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  buffer = ring.init(config.capacity or config.steps, blank_transition(parts.spec))
  fresh = none, jnp.zeros(()), jnp.zeros((), bool)
  learn = Learn(ars, returns, *fresh, world, buffer, metrics)
  return TrainState(act, learn, None, key, none)


def _act(parts: _Parts, act: Act, obs: Array, key: Key) -> tuple[Array, Act, Metrics]:
  """Takes uniform actions at first, then the planner's."""
  random_key, plan_key = jax.random.split(key)
  low, high = jnp.asarray(parts.spec.action_low), jnp.asarray(parts.spec.action_high)
  uniform = jax.random.uniform(random_key, low.shape, minval=low, maxval=high)
  by_policy = act.greedy & (parts.config.evaluate == "policy")
  alone = parts.ars.act(act.belief.actor, parts.spec.encode(obs))

  def look_ahead() -> tuple[Array, PlanState, Array, Array]:
    output, plan = parts.planner.plan(act.belief, obs, act.plan, plan_key)
    return output.action, plan, output.value, output.metrics["nonfinite"]

  def follow() -> tuple[Array, PlanState, Array, Array]:
    action = jnp.where(by_policy, alone, uniform)
    return action, act.plan, jnp.zeros(()), jnp.zeros((), jnp.int32)

  random = act.random > 0
  action, plan, value, nonfinite = jax.lax.cond(random | by_policy, follow, look_ahead)
  info = {"random": random.astype(jnp.float32), "value": value, "nonfinite": nonfinite}
  return action, act._replace(plan=plan, random=jnp.maximum(act.random - 1, 0)), info


def _observe(parts: _Parts, state: TrainState, transition: Transition) -> TrainState:
  """Stores what happened; at the end of an episode books the trial, and moves the policy."""
  learn, act = state.learn, state.act
  key, move_key = jax.random.split(state.key)
  done = transition.terminated | transition.truncated
  total = learn.total + transition.reward
  ars = parts.ars.see(learn.ars, parts.spec.encode(transition.obs))
  known = fitted(learn.world)  # until then all actions are uniform
  booked = done & learn.whole & known
  filled = learn.returns.reshape(-1).at[learn.trial].set(total).reshape(learn.returns.shape)
  returns = jnp.where(booked, filled, learn.returns)
  trial = learn.trial + booked
  moved, metrics = parts.ars.update(ars, returns, move_key)
  full = trial == returns.size
  choose = lambda a, b: jax.tree.map(lambda x, y: jnp.where(full, x, y), a, b)
  ars, metrics = choose(moved, ars), choose(metrics, learn.metrics)
  trial = jnp.where(full, 0, trial)
  belief = act.belief._replace(actor=parts.ars.tried(ars, trial))
  learn = learn._replace(
    ars=ars,
    returns=returns,
    trial=trial,
    total=jnp.where(done, 0.0, total),
    whole=done | (learn.whole & known),
    buffer=ring.add(learn.buffer, transition),
    metrics=metrics,
  )
  random = jnp.maximum(act.random, jnp.where(known, 0, 1))
  act = act._replace(belief=belief, moved=ars.policy, random=random)
  return state._replace(act=act, learn=learn, key=key)


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble, from the end of the uniform actions on."""
  fit_key, key = jax.random.split(state.key)
  learn, act, buffer = state.learn, state.act, state.learn.buffer
  begun = (act.random == 0) | (state.steps >= parts.config.init_steps)
  begun &= buffer.size > 0
  epochs = jnp.where(begun, parts.config.world.epochs, 0)
  world, report = parts.world.fit(learn.world, buffer.data, buffer.size, fit_key, epochs)
  belief = act.belief._replace(world=elite_params(world))
  metrics = {
    **learn.metrics,
    "model_error": jnp.mean(report["holdout_mse"][world.elites]),
    "fit_epochs": report["epochs"],
    "ran": begun.astype(jnp.float32),
  }
  act = act._replace(belief=belief, random=jnp.where(begun, 0, act.random))
  state = state._replace(act=act, key=key)
  return state._replace(learn=learn._replace(world=world)), metrics
