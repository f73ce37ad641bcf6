"""M-DeMoRL: soft actor-critic on data of mirror-descent MPC.

The inner loop plans a few steps ahead in a learned ensemble, with rollouts of the policy as
proposals and the critics as terminal value (``parts.lookahead``), and executes the first
action. The transition goes to ``D_ENV``, the plan's predicted transitions in each elite to
``D_MPC`` (``parts.planned_transitions``). The outer loop takes gradient steps of soft
actor-critic on batches from both.

With a ``dataset`` a run is offline: ``preload`` fills ``D_ENV`` with it, and nothing is added
later. Model and actor-critic train on it; the policy steps the environment only to report its
return.

Source: Mishra et al. 2022, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning".

Deviations:
  * This is the paper's M-DeMoRL, with elite fractions and ``D_MPC``. The released code weighs
    exponentially and never fills ``D_MPC``; ``lookahead.utility=exponential`` with
    ``real_ratio=1`` does the same here.
  * Runs start with uniform actions; the released code plans with untrained networks from the
    first step.
  * See ``parts.lookahead`` for the planner's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.demorl_state import ActParams, Learn
from mbrl_jax.algorithms.parts import replay
from mbrl_jax.algorithms.parts.actor_critic import (
  ActorCritic,
  ActorCriticConfig,
  PolicyParams,
  critic,
  make_actor_critic,
  zero_metrics,
)
from mbrl_jax.algorithms.parts.lookahead import (
  LookaheadConfig,
  PlannerParams,
  make_hyperparams,
  make_lookahead,
)
from mbrl_jax.algorithms.parts.offline import check_dataset, preload
from mbrl_jax.algorithms.parts.plan_or_follow import (
  PlanCarry,
  deployed_carry,
  initial_carry,
  plan_or_follow,
)
from mbrl_jax.algorithms.parts.planned_transitions import Planned, roll_out_plans
from mbrl_jax.algorithms.parts.warm_up import warm_up_actions
from mbrl_jax.algorithms.parts.world_model import (
  WorldModel,
  WorldModelConfig,
  elite_params,
  fitted,
  make_world_model,
)
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.ops.validate import between, choice, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Diagnostics,
  EnvSpec,
  Key,
  Metrics,
  Planner,
  Preload,
  TrainState,
  Transition,
)


@dataclass(frozen=True)
class Config(replay.ReplayConfig):
  """M-DeMoRL; run length and buffer fields are those of ``ReplayConfig``.

  Uniform actions continue after ``init_steps`` until the model is fitted, at the end of the
  compiled call.

  Attributes:
    model_buffer_size: planned transitions kept.
    real_ratio: share of real transitions in a batch.
    evaluate: actor of evaluations, policy or planner.
    dataset: file of transitions to train on instead of the run's own, see
      runtime.storage.dataset; empty: none. It needs real_ratio=1.
    agent, world_model, lookahead: see their classes.
  """

  model_buffer_size: int = 50_000
  real_ratio: float = 0.5
  evaluate: str = "policy"
  dataset: str = ""
  agent: ActorCriticConfig = field(
    default_factory=lambda: ActorCriticConfig(learning_rate=1e-3)
  )
  world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
  lookahead: LookaheadConfig = field(default_factory=LookaheadConfig)


class _Parts(NamedTuple):
  """Static parts of the algorithm."""

  spec: EnvSpec
  config: Config
  agent: ActorCritic
  world_model: WorldModel
  planner: Planner


@in_single_precision
def make_demorl(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes M-DeMoRL for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, shares outside 0 to 1,
      unknown names.
  """
  budget = replay.step_budget(config, config.agent.batch_size)
  positive(model_buffer_size=config.model_buffer_size)
  between(0.0, 1.0, real_ratio=config.real_ratio)
  choice("evaluate", config.evaluate, ("policy", "planner"))
  check_dataset(config.dataset, config.real_ratio)
  agent = make_actor_critic(spec, config.agent)
  world_model = make_world_model(spec, config.world_model)
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
    preload=Preload(config.dataset, preload) if config.dataset else None,
  )


def _init(parts: _Parts, key: Key, envs: int) -> TrainState:
  """Makes the initial TrainState, without rollout."""
  config, spec, horizon = parts.config, parts.spec, parts.config.lookahead.horizon
  blank = replay.blank_transition(spec)
  sac_key, world_key, key = jax.random.split(key, 3)
  sac, world_model = parts.agent.init(sac_key), parts.world_model.init(world_key)
  plan = Planned(blank.obs, jnp.zeros((horizon, spec.action_dim)))
  fresh = parts.planner.init()
  learn = Learn(
    sac=sac,
    world_model=world_model,
    real=replay.init_buffer(config, spec),
    planned=ring.init(config.model_buffer_size, blank, count_dropped=True),
    waiting=ring.init(max(envs, spec.episode_length) if config.real_ratio < 1 else 1, plan),
    real_ratio=jnp.asarray(config.real_ratio, jnp.float32),
    hyperparams=make_hyperparams(config.lookahead, config.agent.discount),
    fresh=fresh,
    metrics=zero_metrics(parts.agent, sac, blank, config.agent.batch_size),
  )
  left = warm_up_actions(0 if config.dataset else config.init_steps, envs)
  return TrainState(learn, initial_carry(fresh, left), None, key, jnp.zeros((), jnp.int32))


def _params(config: Config, state: TrainState) -> ActParams:
  """Returns the parameters for acting; ``ready`` once the model is fitted."""
  learn = state.learn
  nets = learn.sac.nets
  planner_params = PlannerParams(
    elite_params(learn.world_model), nets.actor, nets.critics, learn.hyperparams
  )
  ready = jnp.ones((), bool) if config.dataset else fitted(learn.world_model)
  return ActParams(planner_params, learn.fresh, ready, jnp.zeros((), bool))


def _deploy(params: ActParams) -> tuple[ActParams, PlanCarry]:
  """Returns parameters and carry for deployment: no warm-up, no exploration."""
  yes = jnp.ones((), bool)
  return params._replace(ready=yes, greedy=yes), deployed_carry(params.fresh)


def _act(
  parts: _Parts, params: ActParams, carry: PlanCarry, obs: Array, key: Key
) -> tuple[Array, PlanCarry, Metrics]:
  """Takes the planner's action or the policy's, after uniform warm-up actions."""
  policy_key, plan_key = jax.random.split(key)
  policy = PolicyParams(params.planner_params.actor, params.greedy)
  left = jnp.maximum(carry.random, jnp.where(params.ready, 0, 1))
  chosen, random, info = parts.agent.act(policy, left, obs, policy_key)
  by_policy = left > 0
  if parts.config.evaluate == "policy":
    by_policy |= params.greedy
  if parts.config.dataset:
    by_policy |= ~params.greedy
  action, plan, plan_info = plan_or_follow(
    parts.planner, by_policy, chosen, params.planner_params, obs, carry.plan, plan_key
  )
  return action, PlanCarry(plan, random), {**info, **plan_info}


def _observe(config: Config, state: TrainState, transitions: Transition) -> TrainState:
  """Stores transitions and plans."""
  learn = state.learn
  if not config.dataset:
    learn = learn._replace(real=ring.add_batch(learn.real, transitions))
  if config.real_ratio < 1:
    plans = Planned(transitions.obs, state.carry.plan.plan)
    learn = learn._replace(waiting=ring.add_batch(learn.waiting, plans))
  return state._replace(learn=learn)


def _learn(parts: _Parts, state: TrainState, steps: int) -> TrainState:
  """Rolls waiting plans out into ``D_MPC`` and takes the gradient steps due."""
  config, learn = parts.config, state.learn
  key, update_key, roll_key = jax.random.split(state.key, 3)
  begun = _begun(config, state)
  planned, waiting = learn.planned, learn.waiting
  if config.real_ratio < 1:
    planned, waiting = roll_out_plans(
      parts.world_model.dynamics,
      learn.world_model,
      planned,
      waiting,
      steps,
      begun,
      roll_key,
    )
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
  """Returns whether warm-up is over and there are transitions to train on."""
  first = 0 if config.dataset else config.init_steps
  return (state.steps >= first) & (state.learn.real.size > 0)


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble once warm-up is over."""
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
