"""Algorithms by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mbrl_jax.algorithms import demo_layer, demorl, mbpo, mopac, pets, sac
from mbrl_jax.ops.validate import choice
from mbrl_jax.types import Algorithm, EnvSpec

_ALGORITHMS: dict[str, tuple[type, Callable[[EnvSpec, Any], Algorithm]]] = {
  "demo_layer": (demo_layer.Config, demo_layer.make_demo_layer),
  "demorl": (demorl.Config, demorl.make_demorl),
  "loop": (demorl.LoopConfig, demorl.make_demorl),
  "mbpo": (mbpo.Config, mbpo.make_mbpo),
  "mopac": (mopac.Config, mopac.make_mopac),
  "pets": (pets.Config, pets.make_pets),
  "sac": (sac.Config, sac.make_sac_algorithm),
}


def list_algorithms() -> list[str]:
  """Lists the names that ``make_algorithm`` knows."""
  return sorted(_ALGORITHMS)


def default_config(name: str) -> Any:
  """Returns the default configuration of an algorithm, a frozen dataclass."""
  return _ALGORITHMS[choice("algo", name, list_algorithms())][0]()


def make_algorithm(name: str, spec: EnvSpec, config: Any = None) -> Algorithm:
  """Makes an algorithm for a task.

  Args:
    name: one of ``list_algorithms()``.
    spec: the task, ``env.spec``.
    config: of the type that ``default_config(name)`` returns; None: the default.

  Raises:
    ValueError: an unknown name, a config of another type, actions that are not bounded, or
      what the algorithm refuses.
  """
  expected, make = _ALGORITHMS[choice("algo", name, list_algorithms())]
  config = expected() if config is None else config
  if not isinstance(config, expected):
    raise ValueError(
      f"config must be a {expected.__module__}.{expected.__name__}, got {config!r}."
    )
  _check_bounds(spec)
  return make(spec, config)


def _check_bounds(spec: EnvSpec) -> None:
  """Refuses bounds between which float32 can draw no actions."""
  low, high = np.float32(spec.action_low), np.float32(spec.action_high)
  with np.errstate(invalid="ignore", over="ignore"):
    span = high - low
  if not ((span >= np.finfo(np.float32).tiny) & (span < np.inf)).all():
    raise ValueError(
      f"the actions of {spec.name!r} must have finite bounds, low < high, got {low.tolist()} "
      f"and {high.tolist()}: give the task others, such as from_gymnasium's action_low=-1 and "
      "action_high=1, or a ctrlrange in its MJCF."
    )
