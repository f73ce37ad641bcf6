"""Learning algorithms, with compiled training steps and evaluations."""

from mbrl_jax.algorithms.registry import default_config, list_algorithms, make_algorithm
from mbrl_jax.algorithms.step import init_state, make_evaluation, make_step

__all__ = [
  "default_config",
  "init_state",
  "list_algorithms",
  "make_algorithm",
  "make_evaluation",
  "make_step",
]
