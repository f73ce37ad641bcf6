"""H-step lookahead in the learned model, with the critics as terminal value.

Rollouts of the policy compete with samples around the last plan. The value of a plan is the
mean over elites and particles of::

  sum_{h < H} gamma^h r_h + gamma^H min_j Q_j(s_H, pi(s_H))        # nothing after a termination

Sources: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning" (LOOP, whose
planner is ARC); Mishra et al. 2022, "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning" (M-DeMoRL).

With ``cost_limit``, plans whose predicted cost exceeds it rank last (``parts.cost_limit``).

Deviations from the released codes: rewards are discounted, all steps of a plan are rewarded,
the terminal value is that of the plan's last state under the policy's mean, and terminations
count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from mbrl_jax.algorithms.parts.actor_critic import ActorCritic
from mbrl_jax.algorithms.parts.cost_limit import COSTS, add_costs, rank_by_cost, zero_cost
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
    horizon: H, control steps of a plan.
    samples: plans per iteration.
    policy_plans: rollouts of the policy that compete with them.
    iterations: mirror-descent steps per control step.
    particles: rollouts of each plan, a multiple of world_model.elites.
    utility: threshold (an elite fraction) or exponential.
    elites: plans that threshold keeps.
    kappa: inverse temperature of exponential.
    step_size: weight of the new distribution in a mirror-descent step; 1 replaces the old one.
    noise_scale: initial deviation of the plans, as a share of half the action range.
    pessimism: deviations over the particles subtracted from the mean return.
    cost_limit: largest sum of the task's cost over a plan; plans beyond it rank last. None: no
      limit.
    cost_over: reduction of the particles' costs, worst or mean.
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
  """Hyper-parameters that may change between plans.

  Attributes:
    discount: of the rewards, ``[]``.
    pessimism: deviations over the particles subtracted from the mean return, ``[]``.
  """

  discount: Array
  pessimism: Array


class PlannerParams(NamedTuple):
  """Parameters of the planner.

  Attributes:
    world_model: parameters of the elites, with their axis.
    actor: parameters of the policy.
    critics: parameters of the two critics.
    hyperparams: see its class.
  """

  world_model: Params
  actor: Params
  critics: Params
  hyperparams: LookaheadHyperparams


def make_hyperparams(config: LookaheadConfig, discount: float = 1.0) -> LookaheadHyperparams:
  """Returns the hyper-parameters of a configuration."""
  return LookaheadHyperparams(jnp.float32(discount), jnp.float32(config.pessimism))


def make_lookahead(
  spec: EnvSpec, config: LookaheadConfig, agent: ActorCritic, world_model: WorldModel
) -> Planner:
  """Makes the planner of an actor-critic; see ``make_guided_planner``."""

  def policy(params: PlannerParams, state: State, key: Key) -> Array:
    return agent.sac.act(params.actor, spec.encode(state), key, True)

  def terminal(params: PlannerParams, state: State, key: Key) -> Array:
    return agent.sac.q(params.critics, spec.encode(state), policy(params, state, key))

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
  """Makes a planner guided by a policy, over ``PlannerParams`` and observations.

  Args:
    spec: the task.
    config: of the planner.
    world_model: the ensemble that it plans over.
    policy: ``(PlannerParams, obs, key) -> action``, whose rollouts compete with the plans.
    terminal: ``(PlannerParams, obs, key) -> []``, value at the horizon; ``None``: none.

  Raises:
    ValueError: sizes that are not positive or do not fit each other, an unknown utility or
      cost_over, a limit where the task has no cost.
  """
  positive(policy_plans=config.policy_plans, kappa=config.kappa)
  between(0.0, float("inf"), pessimism=config.pessimism)
  choice("cost_over", config.cost_over, COSTS)
  check_particles(world_model.dynamics, config.particles)
  learned = world_model.dynamics
  shared: Any = None  # in_axes of parameters without the slice axis
  axes = PlannerParams(learned.params_axes, shared, shared, shared)
  step = lambda params, state, action, key: learned.step(params.world_model, state, action, key)
  dynamics = Dynamics(step, learned.slices, axes, learned.noise)

  # under a cost limit the accumulated cost is part of the state
  scored, rank, value = dynamics, None, terminal
  if config.cost_limit is not None:
    scored = add_costs(dynamics, spec)
    rank = rank_by_cost(config.cost_limit, config.cost_over, 1 / config.kappa)
    if terminal is not None:
      value = lambda params, state, key: terminal(params, state.obs, key)

  def evaluate(params: PlannerParams, state: State, plans: Array, key: Key) -> Array:
    pessimism: Any = params.hyperparams.pessimism  # traced
    score = make_evaluate(
      scored,
      discount=params.hyperparams.discount,
      particles=config.particles,
      risk=mean_minus_std(pessimism),
      terminal=value,
      rank=rank,
    )
    return score(params, state if rank is None else zero_cost(state), plans, key)

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
  """Makes mirror descent over plans with a diagonal covariance."""
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
