"""Sampling-based planners: interchangeable searches over one scoring function."""

from mbrl_jax.planners.adam import adam
from mbrl_jax.planners.categorical import categorical
from mbrl_jax.planners.cem import cem
from mbrl_jax.planners.dial import dial
from mbrl_jax.planners.evaluate import make_evaluate, make_predict
from mbrl_jax.planners.evosax import evosax
from mbrl_jax.planners.icem import icem
from mbrl_jax.planners.mirror_descent import mirror_descent
from mbrl_jax.planners.mppi import mppi
from mbrl_jax.planners.pddm import pddm
from mbrl_jax.planners.planner import make_planner
from mbrl_jax.planners.predictive_sampling import predictive_sampling
from mbrl_jax.planners.proposals import policy_plans, previous_plan
from mbrl_jax.planners.random_shooting import random_shooting

SEARCHES = {
  "adam": adam,
  "categorical": categorical,
  "cem": cem,
  "dial": dial,
  "icem": icem,
  "mirror_descent": mirror_descent,
  "mppi": mppi,
  "pddm": pddm,
  "predictive_sampling": predictive_sampling,
  "random_shooting": random_shooting,
}
"""The searches by name, for configs; ``evosax`` is not among them: it also takes a strategy."""

__all__ = [
  "SEARCHES",
  "adam",
  "categorical",
  "cem",
  "dial",
  "evosax",
  "icem",
  "make_evaluate",
  "make_planner",
  "make_predict",
  "mirror_descent",
  "mppi",
  "pddm",
  "policy_plans",
  "predictive_sampling",
  "previous_plan",
  "random_shooting",
]
