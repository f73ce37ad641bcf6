"""Makes tasks by name."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import numbers
from collections.abc import Callable
from typing import Any

from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.envs.adapters.named import NAMES, is_adapted, make_adapted
from mbrl_jax.envs.models.randomise import vary_task
from mbrl_jax.envs.task import Task
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

# module in tasks/ -> the tasks that it builds by make_<name>; imported on demand
_MODULES = {
  "analytic.linear_quadratic": ("linear_quadratic",),
  "analytic.pendulum": ("pendulum",),
  # PETS
  "pets.cartpole": ("cartpole",),
  "pets.pusher": ("pusher",),
  "pets.reacher7": ("reacher7",),
  # MBMF
  "mbmf.ant_mbmf": ("ant_mbmf",),
  "mbmf.follow": ("ant_follow", "halfcheetah_follow", "swimmer_follow"),
  "mbmf.halfcheetah_mbmf": ("halfcheetah_mbmf",),
  "mbmf.hopper_mbmf": ("hopper_mbmf",),
  "mbmf.swimmer": ("swimmer",),
  # Gymnasium, and PETS' half-cheetah
  "gym.ant": ("ant",),
  "gym.halfcheetah": ("halfcheetah", "halfcheetah_pets"),
  "gym.hopper": ("hopper",),
  "gym.humanoid": ("humanoid",),
  "gym.inverted_double_pendulum": ("inverted_double_pendulum",),
  "gym.inverted_pendulum": ("inverted_pendulum",),
  "gym.walker2d": ("walker2d",),
  # Game-MBRL
  "game.peg_insertion": ("peg_insertion",),
  "game.point_mass": ("point_mass",),
  "game.reacher_7dof": ("reacher_7dof",),
  # ROBEL, and PDDM's D'Claw
  "robel.dclaw": ("dclaw_screw", "dclaw_turn"),
  "robel.dclaw_pddm": ("dclaw_turn_pddm",),
  "robel.dkitty": ("dkitty_orient",),
  # in-hand manipulation: PDDM, Game-MBRL, MoPAC and dexterous-gym
  "hands.baoding": ("baoding",),
  "hands.cube": ("cube",),
  "hands.hand_pen": ("hand_pen",),
  "hands.openhand": ("openhand_gaiting", "openhand_valve"),
  "hands.pen_spin": ("pen_spin",),
  # M-DeMoRL
  "legged.leg2r": ("leg2r",),
  "legged.stochlite": ("stochlite",),
}
_TASKS = {name: module for module, names in _MODULES.items() for name in names}
LARGEST = 2**31
"""Upper bound of numeric overrides: compiled programs use 32-bit integers."""
COMMON = ("action_noise", "episode_length", "randomise")
"""Overrides that every task accepts, see ``adjust``."""


def list_envs() -> list[str]:
  """Lists the task names that ``make_env`` accepts, sorted.

  Example:
    >>> from mbrl_jax import list_envs
    >>> list_envs()[:3]
    ['ant', 'ant_follow', 'ant_mbmf']
  """
  return sorted(_TASKS)


def make_env(name: str, physics: str = "auto", **overrides: Any) -> Env:
  """Makes a task by name.

  Args:
    name: one of ``list_envs()``, or an environment of another library: ``"gymnasium:ID"``,
      ``"brax:NAME"`` or ``"playground:NAME"``, see ``adapters``.
    physics: MuJoCo tasks: ``"mjx"``, ``"mujoco"`` (the C engine), ``"warp"`` (the extra
      ``warp``, on NVIDIA GPUs) or ``"auto"`` (the C engine where jax computes on a CPU,
      MJX elsewhere). Analytic tasks: ``"analytic"`` or ``"auto"``.
    **overrides: ``episode_length`` (control steps), ``action_noise`` (standard
      deviation in the actions' unit, see ``ActionNoise``), ``randomise`` (MuJoCo tasks:
      each reset draws a model, ``{"count": 16, "masses": (0.8, 1.2)}``, see
      ``randomise.vary_task``), and the keyword arguments of the task's own factory, or of
      the adapter (``from_gymnasium`` and so on).

  Returns:
    The environment.

  Raises:
    ValueError: unknown name, physics or override, or a value out of range.
    ImportError: the library of an adapted environment is not installed.

  Example:
    >>> env = make_env("pendulum", episode_length=50)
    >>> env.spec.action_dim
    1
  """
  if is_adapted(name):
    return make_adapted(name, physics, **overrides)
  make = _maker(validate.choice("name", name, [*list_envs(), *NAMES]))
  own = {
    p.name: p.default
    for p in inspect.signature(make).parameters.values()
    if p.kind is p.KEYWORD_ONLY
  }
  for override, value in overrides.items():
    validate.known(override, sorted([*COMMON, *own]))
    if override in own:
      _check_kind(override, value, own[override])
  common = {name: overrides.pop(name) for name in COMMON if name in overrides}
  env = make(physics, **overrides)
  for override, value in overrides.items():  # after make, whose errors are more specific
    if value != value:
      raise validate.ArgumentError(override, value, "must be a number.")
  return adjust(env, **common)


def adjust(
  env: Env, *, action_noise: Any = None, episode_length: Any = None, randomise: Any = None
) -> Env:
  """Applies the overrides that every task accepts; see ``make_env``.

  Raises:
    ValueError: a value is out of range, or the environment does not support the override.
  """
  if randomise is not None:
    if not isinstance(env, Task):
      text = (
        f": only a Task on a MuJoCo model can be randomised, this is a {type(env).__name__}."
      )
      raise validate.ArgumentError("randomise", randomise, text)
    env = vary_task(env, randomise)
  if episode_length is not None:
    _check_kind("episode_length", episode_length, 1)
    validate.positive(episode_length=episode_length)
    if not dataclasses.is_dataclass(env):
      raise validate.ArgumentError(
        "episode_length",
        episode_length,
        ": only tasks that are dataclasses, like mbrl_jax.envs.Task, accept this override; "
        f"this is a {type(env).__name__}.",
      )
    env = dataclasses.replace(env, spec=env.spec._replace(episode_length=episode_length))
  return env if action_noise is None else ActionNoise(env, action_noise)


def _check_kind(name: str, value: Any, default: Any) -> None:
  """Checks that a value has the type of the default; a flag's value can be of any type."""
  real = lambda x: isinstance(x, numbers.Real) and not isinstance(x, bool)
  number = lambda x: real(x) and not abs(x) >= LARGEST
  kinds: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda x: isinstance(x, bool)),
    int: ("a whole number", lambda x: number(x) and isinstance(x, numbers.Integral)),
    float: ("a number", number),
    str: ("a name", lambda x: isinstance(x, str)),
    tuple: (
      f"numbers like {default}",
      lambda x: isinstance(x, (tuple, list)) and all(map(number, x)),
    ),
  }
  expected, fits = kinds.get(type(default), ("", lambda x: True))
  if not fits(value):
    raise validate.ArgumentError(name, value, f"must be {expected}.")


def _maker(name: str) -> Callable[..., Task]:
  """Imports the factory of a task."""
  module = importlib.import_module(f"mbrl_jax.envs.tasks.{_TASKS[name]}")
  return getattr(module, f"make_{name}")
