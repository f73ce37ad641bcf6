"""Makes the plant and the planner's model from the flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from absl import flags

from experiments.command_line import config_flags, env_reference
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_error import flag_error
from experiments.plan.setup import parse_cost, undisturbed
from mbrl_jax.envs.models.mjcf import make_mjcf
from mbrl_jax.envs.physics.backends import resolve_backend
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

MJCF_ONLY = ("cost", "control_cost", "keyframe", "dt")
"""Flags that require ``--mjcf``."""
MJCF_ARGUMENTS = ("episode_length", "initial_noise")
"""Arguments of ``make_mjcf`` with flags ``--env.NAME``."""
MJCF_FLAGS = {name: f"--env.{name}" for name in MJCF_ARGUMENTS} | {"sensor": "--cost: sensor"}
"""Arguments of ``make_mjcf`` whose flags have other names."""
Maker = Callable[[str], Env]
"""``(physics) -> Env``."""


def make_tasks(options: flags.FlagValues, overrides: dict[str, str], gradients: bool) -> tuple:
  """Makes the plant and its exact model.

  Args:
    options: the flags.
    overrides: ``--env.NAME=VALUE``.
    gradients: whether the planner needs gradients, which MuJoCo's C engine does not provide.

  Returns:
    ``(env, model)``; the model has no action noise.

  Raises:
    ValueError: an unknown task, sensor or simulator, or flags that exclude each other.
  """
  make = _maker(options, config_flags.nested(overrides))
  env = make(options.physics)
  physics = options.model_physics
  has_model = getattr(env, "model", None) is not None
  if gradients and has_model and resolve_backend(physics or options.physics) == "mujoco":
    if physics == "mujoco":
      raise ValueError(
        f"--planner={options.planner} needs gradients, which MuJoCo's C engine does not "
        "provide: use --model_physics=mjx."
      )
    physics = "mjx"
  if physics is None:
    return env, undisturbed(env)
  try:
    return env, undisturbed(make(physics))
  except (ValueError, UsageError) as error:
    raise flag_error(error, flags={"--physics": "--model_physics"}) from error


def _maker(options: flags.FlagValues, overrides: dict[str, Any]) -> Maker:
  """Returns the function that makes the task of ``--env`` or ``--mjcf``."""
  if (options.env is None) == (options.mjcf is None):
    raise ValueError("Give either --env, such as --env=pendulum, or --mjcf, an XML file.")
  if options.mjcf is not None:
    return lambda physics: _from_mjcf(options, overrides, physics)
  for name in MJCF_ONLY:
    if options[name].present:
      raise ValueError(f"--{name} requires --mjcf.")
  return lambda physics: env_reference.make_checked(options.env, physics, overrides)


def _from_mjcf(options: flags.FlagValues, overrides: dict[str, Any], physics: str) -> Env:
  if not options.cost:
    raise ValueError("--mjcf requires --cost, such as --cost=tip_to_goal:1.0.")
  for name in overrides:
    validate.known(name, MJCF_ARGUMENTS, group="--env")
  given = {name: getattr(options, name) for name in ("control_cost", "keyframe", "dt")}
  given = {name: value for name, value in given.items() if value is not None}
  if str(options.keyframe).isdecimal():
    given["keyframe"] = int(options.keyframe)
  cost = parse_cost(options.cost)
  try:
    return make_mjcf(options.mjcf, cost=cost, physics=physics, **given, **overrides)
  except ValueError as error:
    raise flag_error(error, flags=MJCF_FLAGS) from error
