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

# name -> module in tasks/ whose make_<name> builds it; imported when it is asked for
_TASKS = {
  # analytic
  "linear_quadratic": "analytic.linear_quadratic",
  "pendulum": "analytic.pendulum",
  # PETS
  "cartpole": "pets.cartpole",
  "halfcheetah_pets": "gym.halfcheetah",
  "pusher": "pets.pusher",
  "reacher7": "pets.reacher7",
  # MBMF
  "ant_follow": "mbmf.follow",
  "ant_mbmf": "mbmf.ant_mbmf",
  "halfcheetah_follow": "mbmf.follow",
  "halfcheetah_mbmf": "mbmf.halfcheetah_mbmf",
  "hopper_mbmf": "mbmf.hopper_mbmf",
  "swimmer": "mbmf.swimmer",
  "swimmer_follow": "mbmf.follow",
  # Gymnasium's family
  "ant": "gym.ant",
  "halfcheetah": "gym.halfcheetah",
  "hopper": "gym.hopper",
  "humanoid": "gym.humanoid",
  "inverted_double_pendulum": "gym.inverted_double_pendulum",
  "inverted_pendulum": "gym.inverted_pendulum",
  "walker2d": "gym.walker2d",
  # Game-MBRL
  "peg_insertion": "game.peg_insertion",
  "point_mass": "game.point_mass",
  "reacher_7dof": "game.reacher_7dof",
  "hand_pen": "hands.hand_pen",
  "dclaw_turn": "robel.dclaw",
  "dclaw_screw": "robel.dclaw",
  "dkitty_orient": "robel.dkitty",
  # PDDM
  "baoding": "hands.baoding",
  "cube": "hands.cube",
  "dclaw_turn_pddm": "robel.dclaw_pddm",
  # dexterous-gym
  "pen_spin": "hands.pen_spin",
  # M-DeMoRL
  "leg2r": "legged.leg2r",
  "stochlite": "legged.stochlite",
  # MoPAC
  "openhand_gaiting": "hands.openhand",
  "openhand_valve": "hands.openhand",
}
LARGEST = 2**31
"""Compiled programs count with 32 bits."""
COMMON = ("action_noise", "episode_length", "randomise")
"""What can be changed of every task, see ``adjust``."""


def list_envs() -> list[str]:
  """Lists the names that ``make_env`` knows, sorted."""
  return sorted(_TASKS)


def make_env(name: str, physics: str = "auto", **overrides: Any) -> Env:
  """Makes a task by name.

  Args:
    name: one of ``list_envs()``, or an environment of others: ``"gymnasium:ID"``,
      ``"brax:NAME"`` or ``"playground:NAME"``, see ``adapters``.
    physics: MuJoCo tasks: ``"mjx"``, ``"mujoco"`` (the C engine), ``"warp"`` (the extra
      ``warp``, on NVIDIA GPUs) or ``"auto"`` (the C engine where jax computes on a CPU,
      MJX elsewhere). Analytic tasks: ``"analytic"`` or ``"auto"``.
    **overrides: ``episode_length`` (control steps), ``action_noise`` (standard
      deviation in the actions' unit, see ``ActionNoise``), ``randomise`` (MuJoCo tasks:
      each reset draws another model, ``{"count": 16, "masses": (0.8, 1.2)}``, see
      ``randomise.vary_task``), and the keyword arguments of the task's own factory, or of
      the adapter (``from_gymnasium`` and so on).

  Returns:
    The environment.

  Raises:
    ValueError: unknown name, physics or override, or a value out of range.
    ImportError: the library of an environment of others is not installed.

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
  for override, value in overrides.items():  # after the task, which says what it wants
    if value != value:
      raise validate.ArgumentError(override, value, "must be a number.")
  return adjust(env, **common)


def adjust(
  env: Env, *, action_noise: Any = None, episode_length: Any = None, randomise: Any = None
) -> Env:
  """Changes what can be changed of every task; see ``make_env``.

  Raises:
    ValueError: a value out of range, or the task is not made to be changed from outside.
  """
  if randomise is not None:
    env = vary_task(env, randomise)
  if episode_length is not None:
    _check_kind("episode_length", episode_length, 1)
    validate.positive(episode_length=episode_length)
    if not dataclasses.is_dataclass(env):
      raise validate.ArgumentError(
        "episode_length",
        episode_length,
        ": only tasks that are dataclasses, like mbrl_jax.envs.Task, can be changed from "
        f"outside; this is a {type(env).__name__}.",
      )
    env = dataclasses.replace(env, spec=env.spec._replace(episode_length=episode_length))
  return env if action_noise is None else ActionNoise(env, action_noise)


def _check_kind(name: str, value: Any, default: Any) -> None:
  """Checks that a value is of the kind of the default: typed as a flag it may be anything."""
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
  want, fits = kinds.get(type(default), ("", lambda x: True))
  if not fits(value):
    raise validate.ArgumentError(name, value, f"must be {want}.")


def _maker(name: str) -> Callable[..., Task]:
  """Imports the factory of a task."""
  module = importlib.import_module(f"mbrl_jax.envs.tasks.{_TASKS[name]}")
  return getattr(module, f"make_{name}")
