"""Resolves names, presets and overrides to the settings of a run, which are plain data."""

from __future__ import annotations

from typing import Any

from experiments import env_schedule as env_schedules
from experiments.command_line import config_flags, env_reference
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_checks import check_most
from experiments.command_line.flag_error import flag_error
from experiments.command_line.renamed import old_names
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.ops import validate
from mbrl_jax.ops.validate import choice, positive
from mbrl_jax.runtime.storage.run_folder import flat
from mbrl_jax.types import Budget

Settings = dict[str, Any]
"""Content of ``config.json``."""


def make_settings(
  *,
  algo: str,
  env: str,
  preset: str,
  physics: str,
  seed: int,
  seeds: int,
  envs: int = 1,
  env_overrides: dict[str, Any],
  config_overrides: dict[str, Any],
  stored: dict[str, Any] | None = None,
  eval_every: int | None = None,
  eval_steps: int | None = None,
  eval_episodes: int | None = None,
  env_schedule: str = "",
  init_policy: str = "",
) -> Settings:
  """Resolves names, preset and overrides to plain data.

  ``job.build`` adds the defaults of the evaluation. An override that replaces a part, such as
  the planner, drops settings of the preset, or of the ``stored`` config of a run to resume,
  that the new part does not have.

  Raises:
    UsageError: names the argument, the value and the valid ones.
  """
  try:
    choice("--algo", algo, list_algorithms())
    choice("--preset", preset, config_flags.presets(algo))
    positive(**{"--seeds": seeds, "--envs": envs})
    validate.seeds(seed, seeds, "--seed")
    check_most("--seeds", seeds)
    preset_values = config_flags.preset_values(algo, preset, env)
    config = _config(algo, preset_values, stored or {}, config_overrides)
    if eval_every and eval_steps:
      other = "--eval_steps", eval_steps
      raise validate.ArgumentError(
        "--eval_every", eval_every, "and {} exclude each other.", other
      )
    env_overrides = config_flags.nested(env_overrides)
    optional = {
      "eval_every": eval_every,
      "eval_steps": eval_steps,
      "eval_episodes": eval_episodes,
      "env_schedule": env_schedules.canonical(env_schedule) or None,
      "init_policy": init_policy or None,
    }
  except ValueError as error:
    raise flag_error(error, "--config.") from error
  return {
    **env_reference.settings(env),
    "algo": algo,
    "env": env,
    "physics": physics,
    "preset": preset,
    "seed": seed,
    "seeds": seeds,
    "envs": envs,
    **{name: value for name, value in optional.items() if value is not None},
    "env_overrides": env_overrides,
    "config": config_flags.to_dict(config),
  }


def _config(algo: str, *layers: dict[str, Any]) -> Any:
  """Returns an algorithm's config with layers of overrides applied in order.

  Raises:
    ArgumentError: an unknown field or an invalid value.
  """
  config = default_config(algo)
  for values in layers:
    config = config_flags.override(config, values)
  for name, field in config_flags.fields(config).items():
    if name.endswith((".iterations", ".horizon")):
      check_most(f"--config.{name}", field.default)
  return config


def add_evaluation(budget: Budget, settings: Settings) -> Settings:
  """Returns the evaluation settings, with defaults for missing ones."""
  in_steps = budget.unit == "steps"
  default = {"eval_every": 0, "eval_steps": 0, "eval_episodes": 10 if in_steps else 1}
  if not settings.keys() & {"eval_every", "eval_steps"}:
    default["eval_every" if not in_steps else "eval_steps"] = (
      _evaluation_interval(budget) if in_steps else 5
    )
  return {**default, **{name: settings[name] for name in default if name in settings}}


def default_interval(budget: Budget) -> int:
  """Returns a twentieth of a run that counts steps, 0 for other runs."""
  return max(budget.steps // 20, 1) if budget.steps else 0


def _evaluation_interval(budget: Budget) -> int:
  """Rounds the default interval up to whole compiled calls, between which evaluations run."""
  chunk = budget.chunk or 1
  return min(-(-default_interval(budget) // chunk) * chunk, budget.steps)


def config_of(settings: Settings) -> Any:
  """Builds the algorithm's config from settings.

  Raises:
    UsageError: a field is missing, unknown or invalid; the message names it.
  """
  try:
    choice("--algo", settings["algo"], list_algorithms())
    _refuse_old(settings["config"])
    return config_flags.from_dict(default_config(settings["algo"]), settings["config"])
  except ValueError as error:
    raise flag_error(error, "--config.") from error
  except KeyError as error:
    raise UsageError(f"config.json has no field {error}; is it of this version?") from error


def _refuse_old(stored: Settings) -> None:
  """Refuses a config with field names of version 0.1.

  Raises:
    UsageError: lists the fields with their old and new names.
  """
  renamed = old_names(flat(stored))
  if renamed:
    names = ", ".join(f"{old} (now {new})" for old, new in renamed.items())
    raise UsageError(
      f"the run is of mbrl_jax 0.1, whose fields {names} and checkpoints this version cannot "
      "read: continue with version 0.1, or train again."
    )
