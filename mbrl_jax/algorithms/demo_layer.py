"""The DeMo layer: a planner that is guided by a linear policy which random search moves.

The planner of M-DeMoRL (``lookahead``), without a value behind its horizon, plans over a
learned ensemble; rollouts of a linear policy compete with its plans. Its action is taken. In
each episode the policy is one of the trials of augmented random search, ``W + nu d`` or
``W - nu d``, and the return of the episode, planner included, is that of the trial. When all
trials are done the policy moves (``learners.ars``). The ensemble is fitted as transitions come.
Of several environments each takes every N-th trial; one that is through with its own goes
on without booking until the others are.

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

from mbrl_jax.algorithms.parts import replay
from mbrl_jax.algorithms.parts.lookahead import (
  LookaheadConfig,
  LookaheadHyperparams,
  PlannerParams,
  make_guided_planner,
  make_hyperparams,
)
from mbrl_jax.algorithms.parts.plan_or_follow import fresh_plans, plan_or_follow
from mbrl_jax.algorithms.parts.warm_up import actions_left, one_less, uniform_action
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
from mbrl_jax.learners.ars import ARS, ARSState, make_ars
from mbrl_jax.ops.validate import choice
from mbrl_jax.types import (
  Algorithm,
  Array,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Params,
  Planner,
  PlanState,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config(replay.ReplayConfig):
  """The DeMo layer; how long it runs and what it keeps, see ``ReplayConfig``.

  Uniform actions go on after ``init_steps`` until the model is fitted, at the end of the
  compiled call.

  Attributes:
    directions: N of random search; it takes 2 N episodes to move the policy.
    top: b, directions that move it.
    step_size: alpha.
    noise: nu, length of the steps to either side.
    evaluate: what acts in evaluations: planner or policy.
    world, lookahead: see their classes.
  """

  directions: int = 4
  top: int = 2
  step_size: float = 0.1
  noise: float = 0.1
  evaluate: str = "planner"
  world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
  lookahead: LookaheadConfig = field(default_factory=lambda: LookaheadConfig(horizon=15))


class ActParams(NamedTuple):
  """What acting needs.

  Attributes:
    world_model: parameters of the elites.
    hyperparams: numbers of the planner.
    ars: random search: the policy that was last moved, and the directions on trial.
    round: how often it was moved, ``[]`` int32.
    fresh: the state of the planner with which every episode begins.
    ready: whether the model is fitted, ``[]`` bool; until then actions are uniform.
    greedy: whether this is an evaluation, ``[]`` bool: the policy is the one last moved.
  """

  world_model: Params
  hyperparams: LookaheadHyperparams
  ars: ARSState
  round: Array
  fresh: PlanState
  ready: Array
  greedy: Array


class Carry(NamedTuple):
  """What acting carries from step to step.

  Attributes:
    plan: the planner's state.
    random: uniform actions still to take before, ``[]`` int32.
    first: the first trial of this environment in a round; ``stride`` lie between two of its
      own, ``[]`` int32.
    stride: see ``first``.
    trial: the one under way, ``[]`` int32.
    round: that it belongs to, ``[]`` int32.
    whole: whether the episode so far is without uniform actions, ``[]`` bool.
  """

  plan: PlanState
  random: Array
  first: Array
  stride: Array
  trial: Array
  round: Array
  whole: Array


class Learn(NamedTuple):
  """What was learned, and what learning needs.

  Attributes:
    ars: the state of random search.
    round: how often the policy was moved, ``[]`` int32.
    returns: of the trials that are done ``[N, 2]``.
    booked: which those are, ``[N, 2]`` bool.
    total: rewards of the episodes so far, one for each environment.
    world_model: the ensemble's.
    buffer: transitions.
    hyperparams: numbers of the planner.
    fresh: see ``ActParams``.
    metrics: of the last move.
  """

  ars: ARSState
  round: Array
  returns: Array
  booked: Array
  total: Array
  world_model: WorldModelState
  buffer: ring.Ring
  hyperparams: LookaheadHyperparams
  fresh: PlanState
  metrics: Metrics


class _Parts(NamedTuple):
  """What the functions of the algorithm are made of."""

  spec: EnvSpec
  config: Config
  ars: ARS
  world_model: WorldModel
  planner: Planner


@in_single_precision
def make_demo_layer(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes the DeMo layer for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, unknown names.
  """
  budget = replay.counted_in_steps(config, batch_size=1)
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
  world_model = make_world_model(spec, config.world_model)
  policy = lambda planner_params, obs, key: ars.act(planner_params.actor, spec.encode(obs))
  planner = make_guided_planner(spec, config.lookahead, world_model, policy)
  parts = _Parts(spec, config, ars, world_model, planner)
  return Algorithm(
    init=lambda key, envs=1: _init(parts, key, envs),
    params=_params,
    act=lambda params, carry, obs, key: _act(parts, params, carry, obs, key),
    reset=_reset,
    observe=lambda state, transitions: _observe(parts, state, transitions),
    learn=lambda state, steps: _learn(parts, state),
    update=lambda state: _update(parts, state),
    budget=budget,
    deploy=_deploy,
    plans=config.evaluate == "planner",
    diagnostics=Diagnostics(
      world_model.dynamics,
      lambda state: elite_params(state.learn.world_model),
      planned=lambda carry: carry.plan,
    ),
  )


def _params(state: TrainState) -> ActParams:
  """Returns what acting needs."""
  learn = state.learn
  elites, ready = elite_params(learn.world_model), fitted(learn.world_model)
  no = jnp.zeros((), bool)
  return ActParams(elites, learn.hyperparams, learn.ars, learn.round, learn.fresh, ready, no)


def _deploy(params: ActParams) -> tuple[ActParams, Carry]:
  """Returns what an evaluation acts with: the policy that was last moved."""
  yes, none = jnp.ones((), bool), jnp.zeros((), jnp.int32)
  carry = Carry(params.fresh, none, none, none, none, none, yes)
  return params._replace(ready=yes, greedy=yes), carry


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  config, none = parts.config, jnp.zeros((), jnp.int32)
  ars_key, world_key, key = jax.random.split(key, 3)
  ars, fresh = parts.ars.init(ars_key), parts.planner.init()
  returns = jnp.zeros((config.directions, 2))
  shapes = jax.eval_shape(parts.ars.update, ars, returns, key)[1]
  learn = Learn(
    ars=ars,
    round=none,
    returns=returns,
    booked=jnp.zeros(returns.shape, bool),
    total=jnp.zeros(envs),
    world_model=parts.world_model.init(world_key),
    buffer=replay.empty(config, parts.spec),
    hyperparams=make_hyperparams(config.lookahead),
    fresh=fresh,
    metrics=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
  )
  carry = Carry(
    plan=fresh_plans(fresh, envs),
    random=actions_left(config.init_steps, envs),
    first=jnp.arange(envs),
    stride=jnp.full(envs, envs),
    trial=jnp.arange(envs),
    round=jnp.zeros(envs, jnp.int32),
    whole=jnp.ones(envs, bool),
  )
  return TrainState(learn, carry, None, key, none)


def _act(
  parts: _Parts, params: ActParams, carry: Carry, obs: Array, key: Key
) -> tuple[Array, Carry, Metrics]:
  """Takes uniform actions at first, then the planner's."""
  random_key, plan_key = jax.random.split(key)
  last = 2 * parts.config.directions - 1
  tried = parts.ars.tried(params.ars, jnp.minimum(carry.trial, last))
  choose = lambda a, b: jax.tree.map(lambda x, y: jnp.where(params.greedy, x, y), a, b)
  planner_params = PlannerParams(
    params.world_model, choose(params.ars.policy, tried), (), params.hyperparams
  )
  by_policy = params.greedy & (parts.config.evaluate == "policy")
  alone = parts.ars.act(planner_params.actor, parts.spec.encode(obs))
  random = (carry.random > 0) | ~params.ready
  followed = jnp.where(by_policy, alone, uniform_action(parts.spec, random_key))
  action, plan, info = plan_or_follow(
    parts.planner, random | by_policy, followed, planner_params, obs, carry.plan, plan_key
  )
  info["random"] = random.astype(jnp.float32)
  carry = carry._replace(
    plan=plan, random=one_less(carry.random), whole=carry.whole & params.ready
  )
  return action, carry, info


def _reset(params: ActParams, carry: Carry) -> Carry:
  """Goes on to the next trial if the last one was booked, or begins with the next round."""
  following = carry.trial + jnp.where(carry.whole, carry.stride, 0)
  return carry._replace(
    plan=params.fresh,
    trial=jnp.where(carry.round == params.round, following, carry.first),
    round=params.round,
    whole=jnp.ones((), bool),
  )


def _observe(parts: _Parts, state: TrainState, transitions: Transition) -> TrainState:
  """Stores what happened; at the end of an episode books the trial."""
  learn, carry = state.learn, state.carry
  done = transitions.terminated | transitions.truncated
  total = learn.total + transitions.reward
  ours = carry.whole & (carry.round == learn.round) & (carry.trial < learn.returns.size)
  place = jnp.where(done & ours, carry.trial, learn.returns.size)  # beyond the end: dropped
  put = lambda x, values: x.reshape(-1).at[place].set(values, mode="drop").reshape(x.shape)
  see = lambda ars, obs: (parts.ars.see(ars, parts.spec.encode(obs)), None)
  learn = learn._replace(
    ars=jax.lax.scan(see, learn.ars, transitions.obs)[0],
    returns=put(learn.returns, total),
    booked=put(learn.booked, True),
    total=jnp.where(done, 0.0, total),
    buffer=ring.add_batch(learn.buffer, transitions),
  )
  return state._replace(learn=learn)


def _learn(parts: _Parts, state: TrainState) -> TrainState:
  """Moves the policy when all trials are booked."""
  learn = state.learn
  key, move_key = jax.random.split(state.key)
  moved, metrics = parts.ars.update(learn.ars, learn.returns, move_key)
  full = learn.booked.all()
  choose = lambda a, b: jax.tree.map(lambda x, y: jnp.where(full, x, y), a, b)
  learn = learn._replace(
    ars=choose(moved, learn.ars),
    round=learn.round + full,
    booked=learn.booked & ~full,
    metrics=choose(metrics, learn.metrics),
  )
  return state._replace(learn=learn, key=key)


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble, from the end of the uniform actions on."""
  fit_key, key = jax.random.split(state.key)
  learn = state.learn
  begun = (state.steps >= parts.config.init_steps) & (learn.buffer.size > 0)
  epochs = jnp.where(begun, parts.config.world_model.epochs, 0)
  world_model, report = parts.world_model.fit(learn.world_model, learn.buffer, fit_key, epochs)
  metrics = {**learn.metrics, **report, "ran": begun.astype(jnp.float32)}
  return state._replace(learn=learn._replace(world_model=world_model), key=key), metrics
