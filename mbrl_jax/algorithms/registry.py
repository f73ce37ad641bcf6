"""The registry of algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mbrl_jax.algorithms import (
  dagger,
  demo_layer,
  demorl,
  game,
  loop,
  mbmf,
  mbpo,
  mopac,
  morel,
  npg,
  pets,
  sac,
  trpo,
)
from mbrl_jax.ops.validate import choice
from mbrl_jax.types import Algorithm, EnvSpec

_ALGORITHMS: dict[str, tuple[type, Callable[[EnvSpec, Any], Algorithm]]] = {
  "dagger": (dagger.Config, dagger.make_dagger_algorithm),
  "demo_layer": (demo_layer.Config, demo_layer.make_demo_layer),
  "demorl": (demorl.Config, demorl.make_demorl),
  "loop": (loop.Config, loop.make_loop),
  "mal": (game.MALConfig, game.make_game),
  "mbmf": (mbmf.Config, mbmf.make_mbmf),
  "mbpo": (mbpo.Config, mbpo.make_mbpo),
  "mopac": (mopac.Config, mopac.make_mopac),
  "morel": (morel.Config, morel.make_morel),
  "npg": (npg.Config, npg.make_npg_algorithm),
  "pal": (game.Config, game.make_game),
  "pets": (pets.Config, pets.make_pets),
  "sac": (sac.Config, sac.make_sac_algorithm),
  "trpo": (trpo.Config, trpo.make_trpo_algorithm),
}


def list_algorithms() -> list[str]:
  """Returns the names of all algorithms.

  Example:
    >>> list_algorithms()
    ['dagger', 'demo_layer', 'demorl', 'loop', 'mal', 'mbmf', 'mbpo', 'mopac', 'morel', 'npg', \
'pal', 'pets', 'sac', 'trpo']
  """
  return sorted(_ALGORITHMS)


def default_config(name: str) -> Any:
  """Returns the default configuration of an algorithm, a frozen dataclass.

  Raises:
    ValueError: an unknown name.

  Example:
    >>> import dataclasses
    >>> config = default_config("sac")
    >>> dataclasses.replace(config, steps=5000).steps
    5000
  """
  return _ALGORITHMS[choice("algo", name, list_algorithms())][0]()


def make_algorithm(name: str, spec: EnvSpec, config: Any = None) -> Algorithm:
  """Makes an algorithm for a task.

  Args:
    name: one of ``list_algorithms()``.
    spec: the task, ``env.spec``.
    config: of the type of ``default_config(name)``; None: the default.

  Raises:
    ValueError: an unknown name, a config of another type, unbounded actions, or an invalid
      config of the algorithm.

  Example:
    >>> from mbrl_jax.envs import make_env
    >>> algorithm = make_algorithm("sac", make_env("pendulum").spec)
    >>> algorithm.budget.steps
    20000
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
  """Checks that action bounds are finite and distinct in float32.

  Raises:
    ValueError: otherwise.
  """
  low, high = np.float32(spec.action_low), np.float32(spec.action_high)
  with np.errstate(invalid="ignore", over="ignore"):
    span = high - low
  if not ((span >= np.finfo(np.float32).tiny) & (span < np.inf)).all():
    raise ValueError(
      f"the actions of {spec.name!r} must have finite bounds, low < high, got {low.tolist()} "
      f"and {high.tolist()}: set them, for example with action_low=-1 and action_high=1 of "
      "from_gymnasium, or a ctrlrange in the MJCF."
    )
