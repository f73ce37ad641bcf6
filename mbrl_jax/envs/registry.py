"""Makes tasks by name."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.envs.ant import make_ant
from mbrl_jax.envs.cartpole import make_cartpole
from mbrl_jax.envs.halfcheetah import make_halfcheetah, make_halfcheetah_pets
from mbrl_jax.envs.hopper import make_hopper
from mbrl_jax.envs.humanoid import make_humanoid
from mbrl_jax.envs.inverted_double_pendulum import make_inverted_double_pendulum
from mbrl_jax.envs.inverted_pendulum import make_inverted_pendulum
from mbrl_jax.envs.linear_quadratic import make_linear_quadratic
from mbrl_jax.envs.pendulum import make_pendulum
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.walker2d import make_walker2d
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

_TASKS: dict[str, Callable[..., Task]] = {
  "ant": make_ant,
  "cartpole": make_cartpole,
  "halfcheetah": make_halfcheetah,
  "halfcheetah_pets": make_halfcheetah_pets,
  "hopper": make_hopper,
  "humanoid": make_humanoid,
  "inverted_double_pendulum": make_inverted_double_pendulum,
  "inverted_pendulum": make_inverted_pendulum,
  "linear_quadratic": make_linear_quadratic,
  "pendulum": make_pendulum,
  "walker2d": make_walker2d,
}
_COMMON = ("action_noise", "episode_length")


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
      deviation in the actions' unit, see ``ActionNoise``), and the keyword
      arguments of the task's own factory.

  Returns:
    The environment.

  Raises:
    ValueError: unknown name, physics or override, or a value out of range.

  Example:
    >>> env = make_env("pendulum", episode_length=50)
    >>> env.spec.action_dim
    1
  """
  make = _TASKS[validate.choice("name", name, list_envs())]
  own = [
    p.name for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY
  ]
  for override in overrides:
    validate.choice("override", override, sorted([*_COMMON, *own]))
  noise = overrides.pop("action_noise", None)
  length = overrides.pop("episode_length", None)
  env = make(physics, **overrides)
  if length is not None:
    validate.positive(episode_length=length)
    env = dataclasses.replace(env, spec=env.spec._replace(episode_length=int(length)))
  return env if noise is None else ActionNoise(env, noise)
