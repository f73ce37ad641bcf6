"""Makes tasks by name."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.envs.randomise import vary_task
from mbrl_jax.envs.task import Task
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

# name -> module in tasks/ whose make_<name> builds it; imported when it is asked for
_TASKS = {
  # analytic
  "linear_quadratic": "linear_quadratic",
  "pendulum": "pendulum",
  # PETS
  "cartpole": "cartpole",
  "halfcheetah_pets": "halfcheetah",
  "pusher": "pusher",
  "reacher7": "reacher7",
  # Gymnasium's family
  "ant": "ant",
  "halfcheetah": "halfcheetah",
  "hopper": "hopper",
  "humanoid": "humanoid",
  "inverted_double_pendulum": "inverted_double_pendulum",
  "inverted_pendulum": "inverted_pendulum",
  "walker2d": "walker2d",
  # Game-MBRL
  "point_mass": "point_mass",
  "reacher_7dof": "reacher_7dof",
  "peg_insertion": "peg_insertion",
  # M-DeMoRL
  "leg2r": "leg2r",
}
_COMMON = ("action_noise", "episode_length", "randomise")


def list_envs() -> list[str]:
  """Lists the names that ``make_env`` knows, sorted."""
  return sorted(_TASKS)


def make_env(name: str, physics: str = "auto", **overrides: Any) -> Env:
  """Makes a task by name.

  Args:
    name: one of ``list_envs()``.
    physics: MuJoCo tasks: ``"mjx"``, ``"mujoco"`` (the C engine) or ``"auto"`` (the C
      engine where jax computes on a CPU, MJX elsewhere). Analytic tasks:
      ``"analytic"`` or ``"auto"``.
    **overrides: ``episode_length`` (control steps), ``action_noise`` (standard
      deviation in the actions' unit, see ``ActionNoise``), ``randomise`` (MuJoCo tasks:
      each reset draws another model, ``{"count": 16, "masses": (0.8, 1.2)}``, see
      ``randomise.vary_task``), and the keyword arguments of the task's own factory.

  Returns:
    The environment.

  Raises:
    ValueError: unknown name, physics or override, or a value out of range.

  Example:
    >>> env = make_env("pendulum", episode_length=50)
    >>> env.spec.action_dim
    1
  """
  make = _maker(validate.choice("name", name, list_envs()))
  own = [
    p.name for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY
  ]
  for override in overrides:
    validate.choice("override", override, sorted([*_COMMON, *own]))
  noise = overrides.pop("action_noise", None)
  length = overrides.pop("episode_length", None)
  randomised = overrides.pop("randomise", None)
  env = make(physics, **overrides)
  if randomised is not None:
    env = vary_task(env, randomised)
  if length is not None:
    validate.positive(episode_length=length)
    env = dataclasses.replace(env, spec=env.spec._replace(episode_length=int(length)))
  return env if noise is None else ActionNoise(env, noise)


def _maker(name: str) -> Callable[..., Task]:
  """Imports the factory of a task."""
  module = importlib.import_module(f"mbrl_jax.envs.tasks.{_TASKS[name]}")
  return getattr(module, f"make_{name}")
