"""The DeMo layer: a planner guided by a linear policy that random search trains.

The planner of M-DeMoRL (``parts.lookahead``), without a terminal value, plans over a learned
ensemble; rollouts of a linear policy compete with its plans, and its first action is executed.
Each episode is one trial of augmented random search: the policy is ``W + nu d`` or
``W - nu d``, and the return of the episode, planner included, is that of the trial. The policy
is updated when all trials have finished (``learners.ars``). The ensemble is refitted as
transitions arrive. With N environments each runs every N-th trial; one that has finished its
trials runs episodes that are not recorded until the others have finished.

Evaluations use the planner with the current policy, or that policy alone (``evaluate``).

Source: Samineni et al. 2021, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning" (its DeMo layer); only its summary was at hand.

Deviations:
  * Chosen here, because the summary leaves it open: one episode per trial, and no trials during
    the uniform warm-up actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.demo_layer_state import ActParams, Carry, Learn
from mbrl_jax.algorithms.parts import replay
from mbrl_jax.algorithms.parts.lookahead import (
  LookaheadConfig,
  PlannerParams,
  make_guided_planner,
  make_hyperparams,
)
from mbrl_jax.algorithms.parts.plan_or_follow import initial_plans, plan_or_follow
from mbrl_jax.algorithms.parts.warm_up import decrement, uniform_action, warm_up_actions
from mbrl_jax.algorithms.parts.world_model import (
  WorldModel,
  WorldModelConfig,
  elite_params,
  fitted,
  make_world_model,
)
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.learners.ars import ARS, make_ars
from mbrl_jax.ops.validate import choice
from mbrl_jax.types import (
  Algorithm,
  Array,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Planner,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config(replay.ReplayConfig):
  """The DeMo layer; run length and buffer fields are those of ``ReplayConfig``.

  Uniform actions continue after ``init_steps`` until the model is fitted, at the end of the
  compiled call.

  Attributes:
    directions: N of random search; a policy update takes 2 N episodes.
    top: b, directions in the update.
    step_size: alpha.
    noise: nu, scale of the perturbations.
    evaluate: actor of evaluations, planner or policy.
    world_model, lookahead: see their classes.
  """

  directions: int = 4
  top: int = 2
  step_size: float = 0.1
  noise: float = 0.1
  evaluate: str = "planner"
  world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
  lookahead: LookaheadConfig = field(default_factory=lambda: LookaheadConfig(horizon=15))


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

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
  budget = replay.step_budget(config, batch_size=1)
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
  policy = lambda params, state, key: ars.act(params.actor, spec.encode(state))
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
  """Returns the parameters for acting."""
  learn = state.learn
  elites, ready = elite_params(learn.world_model), fitted(learn.world_model)
  no = jnp.zeros((), bool)
  return ActParams(elites, learn.hyperparams, learn.ars, learn.round, learn.fresh, ready, no)


def _deploy(params: ActParams) -> tuple[ActParams, Carry]:
  """Returns parameters and carry for deployment: the unperturbed policy, no warm-up."""
  yes, none = jnp.ones((), bool), jnp.zeros((), jnp.int32)
  carry = Carry(params.fresh, none, none, none, none, none, yes)
  return params._replace(ready=yes, greedy=yes), carry


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
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
    buffer=replay.init_buffer(config, parts.spec),
    hyperparams=make_hyperparams(config.lookahead),
    fresh=fresh,
    metrics=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
  )
  carry = Carry(
    plan=initial_plans(fresh, envs),
    random=warm_up_actions(config.init_steps, envs),
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
  """Takes the planner's action, after uniform warm-up actions."""
  random_key, plan_key = jax.random.split(key)
  last = 2 * parts.config.directions - 1
  perturbed = parts.ars.perturbed(params.ars, jnp.minimum(carry.trial, last))
  choose = lambda a, b: jax.tree.map(lambda x, y: jnp.where(params.greedy, x, y), a, b)
  planner_params = PlannerParams(
    params.world_model, choose(params.ars.policy, perturbed), (), params.hyperparams
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
    plan=plan, random=decrement(carry.random), whole=carry.whole & params.ready
  )
  return action, carry, info


def _reset(params: ActParams, carry: Carry) -> Carry:
  """Starts the next trial if the last one was recorded; in a new round, the first."""
  next_trial = carry.trial + jnp.where(carry.whole, carry.stride, 0)
  return carry._replace(
    plan=params.fresh,
    trial=jnp.where(carry.round == params.round, next_trial, carry.first),
    round=params.round,
    whole=jnp.ones((), bool),
  )


def _observe(parts: _Parts, state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions; at the end of an episode records the trial's return."""
  learn, carry = state.learn, state.carry
  done = transitions.terminated | transitions.truncated
  total = learn.total + transitions.reward
  valid = carry.whole & (carry.round == learn.round) & (carry.trial < learn.returns.size)
  place = jnp.where(done & valid, carry.trial, learn.returns.size)  # out of bounds: dropped
  put = lambda x, values: x.reshape(-1).at[place].set(values, mode="drop").reshape(x.shape)
  observe = lambda ars, obs: (parts.ars.observe(ars, parts.spec.encode(obs)), None)
  learn = learn._replace(
    ars=jax.lax.scan(observe, learn.ars, transitions.obs)[0],
    returns=put(learn.returns, total),
    booked=put(learn.booked, True),
    total=jnp.where(done, 0.0, total),
    buffer=ring.add_batch(learn.buffer, transitions),
  )
  return state._replace(learn=learn)


def _learn(parts: _Parts, state: TrainState) -> TrainState:
  """Updates the policy when all trials have finished."""
  learn = state.learn
  key, update_key = jax.random.split(state.key)
  updated, metrics = parts.ars.update(learn.ars, learn.returns, update_key)
  full = learn.booked.all()
  choose = lambda a, b: jax.tree.map(lambda x, y: jnp.where(full, x, y), a, b)
  learn = learn._replace(
    ars=choose(updated, learn.ars),
    round=learn.round + full,
    booked=learn.booked & ~full,
    metrics=choose(metrics, learn.metrics),
  )
  return state._replace(learn=learn, key=key)


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble once warm-up is over."""
  fit_key, key = jax.random.split(state.key)
  learn = state.learn
  begun = (state.steps >= parts.config.init_steps) & (learn.buffer.size > 0)
  epochs = jnp.where(begun, parts.config.world_model.epochs, 0)
  world_model, report = parts.world_model.fit(learn.world_model, learn.buffer, fit_key, epochs)
  metrics = {**learn.metrics, **report, "ran": begun.astype(jnp.float32)}
  return state._replace(learn=learn._replace(world_model=world_model), key=key), metrics
