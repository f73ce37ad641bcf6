"""Planners: interchangeable searches over one scoring function."""

from mbrl_jax.planners.cem import cem
from mbrl_jax.planners.evaluate import make_evaluate, make_predict
from mbrl_jax.planners.icem import icem
from mbrl_jax.planners.mirror_descent import mirror_descent
from mbrl_jax.planners.mppi import mppi
from mbrl_jax.planners.pddm import pddm
from mbrl_jax.planners.random_shooting import random_shooting
from mbrl_jax.planners.search import make_planner

SEARCHES = {
  "cem": cem,
  "icem": icem,
  "mirror_descent": mirror_descent,
  "mppi": mppi,
  "pddm": pddm,
  "random_shooting": random_shooting,
}
"""The searches by name, for configurations."""

__all__ = [
  "SEARCHES",
  "cem",
  "icem",
  "make_evaluate",
  "make_planner",
  "make_predict",
  "mirror_descent",
  "mppi",
  "pddm",
  "random_shooting",
]
