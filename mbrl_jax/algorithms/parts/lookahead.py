"""A planner that looks a few steps ahead in the learned model, with the critics behind them.

The plans start from the policy: rollouts of it compete with samples around the last plan. A
plan is worth, on average over elites and particles::

  sum_{h < H} gamma^h r_h + gamma^H min_j Q_j(s_H, pi(s_H))        # nothing after a termination

Sources: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning" (LOOP, whose
planner is ARC); Mishra et al. 2022, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning" (M-DeMoRL).

With ``cost_limit`` plans whose predicted cost exceeds it come last (``safety``).

Deviations from the released codes: rewards are discounted, all steps of a plan are rewarded,
the value is that of the state where the plan ends under the policy's mean, and terminations
count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from mbrl_jax.algorithms.parts.actor_critic import Agent
from mbrl_jax.algorithms.parts.cost_limit import COSTS, add_costs, rank_by_cost, start
from mbrl_jax.algorithms.parts.world_model import WorldModel
from mbrl_jax.ops.risk import mean_minus_std
from mbrl_jax.ops.validate import between, choice, positive, prefixed
from mbrl_jax.planners import make_evaluate, make_planner, mirror_descent, policy_plans
from mbrl_jax.planners.rollout import check_particles
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, Params, Planner, Policy, Search, State


@dataclass(frozen=True)
class LookaheadConfig:
  """The planner inside the algorithm.

  Attributes:
    horizon: H, control steps that a plan covers.
    samples: plans per iteration.
    policy_plans: rollouts of the policy that compete with them.
    iterations: mirror-descent steps per control step.
    particles: samples of each plan's future, a multiple of world_model.elites.
    utility: threshold (an elite fraction) or exponential.
    elites: plans that threshold keeps.
    kappa: weight of the returns of exponential, the inverse of its temperature.
    step_size: of mirror descent; what the old distribution keeps is the rest.
    noise_scale: initial deviation of the plans, as a share of half the action range.
    pessimism: how many deviations over the particles are taken from the mean return.
    cost_limit: sum of the task's cost over a plan beyond which it comes last; None: any cost.
    cost_over: which of the particles' costs counts, worst or mean.
  """

  horizon: int = 3
  samples: int = 100
  policy_plans: int = 5
  iterations: int = 5
  particles: int = 20
  utility: str = "threshold"
  elites: int = 20
  kappa: float = 1.0
  step_size: float = 0.9
  noise_scale: float = 0.5
  pessimism: float = 0.0
  cost_limit: float | None = None
  cost_over: str = "worst"


class LookaheadHyperparams(NamedTuple):
  """Numbers that may be changed at any time.

  Attributes:
    discount: of the rewards, ``[]``.
    pessimism: deviations over the particles that are taken from the mean return, ``[]``.
  """

  discount: Array
  pessimism: Array


class PlannerParams(NamedTuple):
  """What is planned with.

  Attributes:
    world_model: parameters of the elites, with their axis.
    actor: of the policy.
    critics: of the two critics.
    hyperparams: see its class.
  """

  world_model: Params
  actor: Params
  critics: Any
  hyperparams: LookaheadHyperparams


def make_hyperparams(config: LookaheadConfig, discount: float = 1.0) -> LookaheadHyperparams:
  """Returns the numbers of a configuration."""
  return LookaheadHyperparams(jnp.float32(discount), jnp.float32(config.pessimism))


def make_lookahead(
  spec: EnvSpec, config: LookaheadConfig, agent: Agent, world_model: WorldModel
) -> Planner:
  """Makes the planner of an actor-critic; see ``make_guided_planner``."""

  def policy(params: PlannerParams, obs: State, key: Key) -> Array:
    return agent.sac.act(params.actor, spec.encode(obs), key, True)

  def terminal(params: PlannerParams, obs: State, key: Key) -> Array:
    return agent.sac.q(params.critics, spec.encode(obs), policy(params, obs, key))

  return make_guided_planner(spec, config, world_model, policy, terminal=terminal)


@prefixed("lookahead")
def make_guided_planner(
  spec: EnvSpec,
  config: LookaheadConfig,
  world_model: WorldModel,
  policy: Policy,
  *,
  terminal: Callable[[PlannerParams, State, Key], Array] | None = None,
) -> Planner:
  """Makes the planner; its ``params`` are a ``PlannerParams`` and its states observations.

  Args:
    spec: the task.
    config: of the planner.
    world_model: the ensemble that it plans over.
    policy: ``(belief, obs, key) -> action``, whose rollouts compete with the plans.
    terminal: value of the observation behind the horizon; ``None``: none.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, an unknown utility or
      cost_over, a limit where the task has no cost.
  """
  positive(policy_plans=config.policy_plans, kappa=config.kappa)
  between(0.0, float("inf"), pessimism=config.pessimism)
  choice("cost_over", config.cost_over, COSTS)
  check_particles(world_model.dynamics, config.particles)
  axes = PlannerParams(world_model.dynamics.params_axes, None, None, None)
  step = lambda params, obs, action, key: world_model.dynamics.step(
    params.world_model, obs, action, key
  )
  dynamics = Dynamics(step, world_model.dynamics.slices, axes, world_model.dynamics.noise)

  # plans go on from observations; what they have cost travels with them
  guarded, rank, before = dynamics, None, terminal
  if config.cost_limit is not None:
    guarded = add_costs(dynamics, spec)
    rank = rank_by_cost(config.cost_limit, config.cost_over, 1 / config.kappa)
    if terminal is not None:
      before = lambda params, state, key: terminal(params, state.obs, key)

  def evaluate(params: PlannerParams, obs: State, plans: Array, key: Key) -> Array:
    score = make_evaluate(
      guarded,
      discount=params.hyperparams.discount,
      particles=config.particles,
      risk=mean_minus_std(params.hyperparams.pessimism),
      terminal=before,
      rank=rank,
    )
    return score(params, obs if rank is None else start(obs), plans, key)

  proposal = policy_plans(dynamics, policy, horizon=config.horizon, count=config.policy_plans)
  return make_planner(
    _make_search(config),
    evaluate,
    horizon=config.horizon,
    action_low=spec.action_low,
    action_high=spec.action_high,
    iterations=config.iterations,
    proposals=[proposal],
  )


def _make_search(config: LookaheadConfig) -> Search:
  """Makes mirror descent on plans with a variance for each action."""
  return mirror_descent(
    config.samples,
    utility=config.utility,
    covariance="diagonal",
    step_size=config.step_size,
    temperature=1 / config.kappa,
    ess_fraction=0.0,
    elites=config.elites,
    noise_scale=config.noise_scale,
  )
