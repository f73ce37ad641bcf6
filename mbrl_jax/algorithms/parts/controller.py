"""The model-predictive controller of model-based algorithms, from configuration."""

from __future__ import annotations

from dataclasses import dataclass

from mbrl_jax.ops.validate import choice, prefixed
from mbrl_jax.planners import SEARCHES, make_evaluate, make_planner
from mbrl_jax.types import Dynamics, EnvSpec, Planner


@dataclass(frozen=True)
class PlannerConfig:
  """The model-predictive controller.

  Attributes:
    name: adam, categorical, cem, dial, icem, mirror_descent, mppi, pddm,
      predictive_sampling or random_shooting.
    samples: plans per iteration.
    elites: plans that the distribution is fitted to (cem, icem).
    iterations: rounds per replan; random shooting draws samples times iterations.
    horizon: control steps that a plan covers.
    particles: samples of each plan's future, a multiple of the members under TS.
    alpha: weight of the old distribution in an update (cem, icem).
    epsilon: variance at which cem has converged, as a share of the squared half range.
    effective: effective sample size of mppi, mirror_descent and categorical, as a share of
      the samples.
    step_size: of mirror_descent and categorical; 1 forgets the warm start.
    categories: levels of each action of categorical.
    learning_rate: of adam, as a share of half the action range.
    kappa, beta: weight of the returns and smoothing of pddm.
    replan_every: control steps executed of each plan.
  """

  name: str = "cem"
  samples: int = 400
  elites: int = 40
  iterations: int = 5
  horizon: int = 25
  particles: int = 20
  alpha: float = 0.1
  epsilon: float = 1e-3
  effective: float = 0.05
  step_size: float = 0.7
  categories: int = 11
  learning_rate: float = 0.1
  kappa: float = 10.0
  beta: float = 0.6
  replan_every: int = 1


@prefixed("planner")
def make_controller(
  spec: EnvSpec, dynamics: Dynamics, particles: int, config: PlannerConfig
) -> Planner:
  """Makes the planner that a configuration describes, for a task.

  Raises:
    ValueError: an unknown search, or sizes that do not fit each other.
  """
  name = choice("name", config.name, SEARCHES)
  mixing = {"effective": config.effective, "step_size": config.step_size}
  settings = {
    "adam": {"learning_rate": config.learning_rate},
    "categorical": {"categories": config.categories, **mixing},
    "cem": {"elites": config.elites, "alpha": config.alpha, "epsilon": config.epsilon},
    "dial": {},
    "icem": {"elites": config.elites, "alpha": config.alpha},
    "mirror_descent": mixing,
    "mppi": {"effective": config.effective},
    "pddm": {"kappa": config.kappa, "beta": config.beta},
    "predictive_sampling": {},
    "random_shooting": {},
  }[name]
  return make_planner(
    SEARCHES[name](config.samples, **settings),
    make_evaluate(dynamics, particles=particles),
    horizon=config.horizon,
    action_low=spec.action_low,
    action_high=spec.action_high,
    iterations=config.iterations,
    replan_every=config.replan_every,
  )
