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
``ratio=1`` do here. Both begin with uniform actions; the released code plans with untrained
nets from the first step. Offline the actor-critic is plain SAC, where LOOP's authors take
learners that are made for it (from memory). See ``lookahead`` for the planner's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.agent import (
  Agent,
  AgentConfig,
  PolicyAct,
  critic,
  deploy,
  make_agent,
  start_acting,
)
from mbrl_jax.algorithms.imagine import imagine
from mbrl_jax.algorithms.lookahead import Belief, LookaheadConfig, make_lookahead, make_tuning
from mbrl_jax.algorithms.single_precision import apart_from_rollout, in_single_precision
from mbrl_jax.algorithms.transitions import blank_transition, check_capacity
from mbrl_jax.algorithms.world import (
  World,
  WorldConfig,
  WorldState,
  elite_params,
  fitted,
  make_world,
)
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
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
  """M-DeMoRL.

  Attributes:
    steps: environment steps of the run.
    init_steps: uniform actions before anything is planned or learnt; they go on until the
      model is fitted, at the end of the compiled call.
    capacity: real transitions kept; 0: all of the run.
    imagined: planned transitions kept.
    update_every: environment steps between fits of the model, in one compiled call.
    ratio: share of real transitions in a batch.
    evaluate: what acts in evaluations: policy or planner.
    dataset: file of transitions to learn from instead of the run's own, see
      runtime.dataset; empty: none. It needs ratio=1.
    agent, world, lookahead: see their classes.
  """

  steps: int = 20_000
  init_steps: int = 1000
  capacity: int = 0
  imagined: int = 50_000
  update_every: int = 250
  ratio: float = 0.5
  evaluate: str = "policy"
  dataset: str = ""
  agent: AgentConfig = field(default_factory=lambda: AgentConfig(learning_rate=1e-3))
  world: WorldConfig = field(default_factory=WorldConfig)
  lookahead: LookaheadConfig = field(default_factory=LookaheadConfig)


@dataclass(frozen=True)
class LoopConfig(Config):
  """LOOP; see M-DeMoRL's fields."""

  ratio: float = 1.0
  evaluate: str = "planner"
  lookahead: LookaheadConfig = field(
    default_factory=lambda: LookaheadConfig(utility="exponential")
  )


class Act(NamedTuple):
  """What acting needs.

  Attributes:
    policy: see ``PolicyAct``; greedy marks an evaluation.
    belief: what the planner plans with.
    plan: its state.
    fresh: that with which every episode begins.
  """

  policy: PolicyAct
  belief: Belief
  plan: PlanState
  fresh: PlanState


class Learn(NamedTuple):
  """What learning needs besides.

  Attributes:
    sac: the actor-critic's state.
    world: the ensemble's.
    real: ``D_ENV``.
    planned: ``D_MPC``.
    ratio: share of real transitions in a batch, ``[]``.
    metrics: of the latest gradient step of the actor-critic.
  """

  sac: SACState
  world: WorldState
  real: ring.Ring
  planned: ring.Ring
  ratio: Array
  metrics: Metrics


class _Parts(NamedTuple):
  """What the functions of the algorithm are made of."""

  spec: EnvSpec
  config: Config
  agent: Agent
  world: World
  planner: Planner


@in_single_precision
def make_demorl(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes M-DeMoRL, or with ``LoopConfig`` LOOP, for a task.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, shares outside 0 to 1,
      unknown names.
  """
  names = ("steps", "init_steps", "imagined", "update_every")
  positive(**{name: getattr(config, name) for name in names})
  between(0.0, 1.0, ratio=config.ratio)
  choice("evaluate", config.evaluate, ("policy", "planner"))
  check_capacity(config.capacity, config.steps, config.agent.batch_size)
  if config.dataset and config.ratio < 1:
    raise ArgumentError(
      "dataset",
      config.dataset,
      "needs {}, not {}: offline nothing is planned in training, so there are no planned "
      "transitions.",
      ("ratio", 1),
      ("ratio", config.ratio),
    )
  agent, world = make_agent(spec, config.agent), make_world(spec, config.world)
  planner = make_lookahead(spec, config.lookahead, agent, world)
  parts = _Parts(spec, config, agent, world, planner)
  return Algorithm(
    init=lambda key: _init(parts, key),
    reset=lambda act: act._replace(plan=act.fresh),
    act=lambda act, obs, key: _act(parts, act, obs, key),
    observe=lambda state, transition: _observe(parts, state, transition),
    update=lambda state: _update(parts, state),
    deploy=lambda act: act._replace(policy=deploy(act.policy)),
    plans=config.evaluate == "planner",
    insight=Insight(
      world.dynamics,
      lambda state: elite_params(state.learn.world),
      critic(spec, agent),
      agent.discount,
      lambda act: act.plan,
    ),
  )


@apart_from_rollout
def preload(state: TrainState, transitions: Transition) -> TrainState:
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


def _init(parts: _Parts, key: Key) -> TrainState:
  """Makes the state of a run that has not begun, but for the rollout."""
  config, blank, none = parts.config, blank_transition(parts.spec), jnp.zeros((), jnp.int32)
  sac_key, world_key, key = jax.random.split(key, 3)
  sac, world = parts.agent.init(sac_key), parts.world.init(world_key)
  real = ring.init(config.capacity or config.steps, blank)
  sample = lambda key: ring.sample(real, key, config.agent.batch_size)
  metrics = parts.agent.update(sac, sample, key, none > 0)[1]
  tuning = make_tuning(config.lookahead, config.agent.discount)
  belief = Belief(elite_params(world), sac.nets.actor, sac.nets.critics, tuning)
  random = 0 if config.dataset else config.init_steps
  plan = parts.planner.init()
  act = Act(start_acting(sac, random), belief, plan, plan)
  ratio = jnp.asarray(config.ratio, jnp.float32)
  planned = ring.init(config.imagined, blank, counted=True)
  learn = Learn(sac, world, real, planned, ratio, metrics)
  return TrainState(act, learn, None, key, none)


def _act(parts: _Parts, act: Act, obs: Array, key: Key) -> tuple[Array, Act, Metrics]:
  """Takes the policy's action, uniform at first, or the planner's."""
  policy_key, plan_key = jax.random.split(key)
  chosen, policy, info = parts.agent.act(act.policy, obs, policy_key)
  by_policy = act.policy.random > 0
  if parts.config.evaluate == "policy":
    by_policy |= act.policy.greedy
  if parts.config.dataset:
    by_policy |= ~act.policy.greedy

  def look_ahead() -> tuple[Array, PlanState, Array, Array]:
    output, plan = parts.planner.plan(act.belief, obs, act.plan, plan_key)
    return output.action, plan, output.value, output.metrics["nonfinite"]

  def follow() -> tuple[Array, PlanState, Array, Array]:
    return chosen, act.plan, jnp.zeros(()), jnp.zeros((), jnp.int32)

  action, plan, value, nonfinite = jax.lax.cond(by_policy, follow, look_ahead)
  info = {**info, "value": value, "nonfinite": nonfinite}
  return action, act._replace(policy=policy, plan=plan), info


def _observe(parts: _Parts, state: TrainState, transition: Transition) -> TrainState:
  """Stores what happened and what was planned, and takes gradient steps."""
  config, learn, act = parts.config, state.learn, state.act
  key, update_key, roll_key = jax.random.split(state.key, 3)
  real = learn.real if config.dataset else ring.add(learn.real, transition)
  known, begun = fitted(learn.world), (act.policy.random == 0) & (real.size > 0)
  planned = learn.planned
  if config.ratio < 1:
    elites = parts.world.dynamics.slices
    planned = imagine(
      parts.world.dynamics,
      act.belief.world,
      jnp.broadcast_to(transition.obs, (elites, *transition.obs.shape)),
      lambda t, row, obs, key: act.plan.plan[t],
      jnp.where(begun & known, config.lookahead.horizon, 0),
      roll_key,
      store=ring.add_many,
      carry=planned,
      redraw=False,
    )
  sac, metrics = parts.agent.update(
    learn.sac,
    lambda key: ring.sample_two(real, planned, key, config.agent.batch_size, learn.ratio),
    update_key,
    begun & ((planned.size > 0) | (learn.ratio >= 1)),
  )
  belief = act.belief._replace(actor=sac.nets.actor, critics=sac.nets.critics)
  # nobody plans with a model that is not fitted: one uniform action more
  wait = 0 if config.dataset else jnp.where(known, 0, 1)
  random = jnp.maximum(act.policy.random, wait)
  policy = act.policy._replace(actor=sac.nets.actor, random=random)
  act = act._replace(policy=policy, belief=belief)
  learn = learn._replace(sac=sac, real=real, planned=planned, metrics=metrics)
  return state._replace(act=act, learn=learn, key=key)


def _update(parts: _Parts, state: TrainState) -> tuple[TrainState, Metrics]:
  """Fits the ensemble, from the end of the random steps on."""
  fit_key, key = jax.random.split(state.key)
  learn = state.learn
  policy = state.act.policy
  begun = (policy.random == 0) | (state.steps >= parts.config.init_steps)
  begun &= learn.real.size > 0
  epochs = jnp.where(begun, parts.config.world.epochs, 0)
  data, size = learn.real.data, learn.real.size
  world, report = parts.world.fit(learn.world, data, size, fit_key, epochs)
  belief = state.act.belief._replace(world=elite_params(world))
  policy = policy._replace(random=jnp.where(begun, 0, policy.random))
  metrics = {
    **learn.metrics,
    "model_error": jnp.mean(report["holdout_mse"][world.elites]),
    "fit_epochs": report["epochs"],
    "nonfinite_imagined": learn.planned.dropped,
    "ran": begun.astype(jnp.float32),
  }
  act = state.act._replace(policy=policy, belief=belief)
  state = state._replace(act=act, key=key)
  return state._replace(learn=learn._replace(world=world)), metrics
