"""The settings of a run: plain data, from names, presets and overrides."""

from __future__ import annotations

from typing import Any

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
"""Contents of ``config.json``."""


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
) -> Settings:
  """Resolves names, preset and overrides to plain data; ``build`` says when to evaluate.

  What an override replaces takes along those settings of the preset, or of the config that is
  ``stored`` of a run to resume, which only the former part has.

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
    asked = {
      "eval_every": eval_every,
      "eval_steps": eval_steps,
      "eval_episodes": eval_episodes,
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
    **{name: value for name, value in asked.items() if value is not None},
    "env_overrides": env_overrides,
    "config": config_flags.to_dict(config),
  }


def _config(algo: str, *layers: dict[str, Any]) -> Any:
  """Returns an algorithm's config after one layer of values after the other.

  Raises:
    ArgumentError: an unknown field, or a value that it cannot have.
  """
  config = default_config(algo)
  for values in layers:
    config = config_flags.override(config, values)
  for name, field in config_flags.fields(config).items():
    if name.endswith((".iterations", ".horizon")):
      check_most(f"--config.{name}", field.default)
  return config


def add_evaluation(budget: Budget, asked: Settings) -> Settings:
  """Says when to evaluate, where nobody has asked for it."""
  in_steps = budget.unit == "steps"
  default = {"eval_every": 0, "eval_steps": 0, "eval_episodes": 10 if in_steps else 1}
  if not asked.keys() & {"eval_every", "eval_steps"}:
    default["eval_every" if not in_steps else "eval_steps"] = (
      _evaluation_interval(budget) if in_steps else 5
    )
  return {**default, **{name: asked[name] for name in default if name in asked}}


def default_interval(budget: Budget) -> int:
  """Returns a twentieth of a run counted in steps, 0 for other runs."""
  return max(budget.steps // 20, 1) if budget.steps else 0


def _evaluation_interval(budget: Budget) -> int:
  """Returns the interval in whole compiled calls, between which evaluations run."""
  chunk = budget.chunk or 1
  return min(-(-default_interval(budget) // chunk) * chunk, budget.steps)


def config_of(settings: Settings) -> Any:
  """Returns the algorithm's config that settings hold.

  Raises:
    UsageError: names the field that is missing, unknown or cannot have its value.
  """
  try:
    choice("--algo", settings["algo"], list_algorithms())
    _refuse_old(settings["config"])
    return config_flags.from_dict(default_config(settings["algo"]), settings["config"])
  except ValueError as error:
    raise flag_error(error, "--config.") from error
  except KeyError as error:
    raise UsageError(f"config.json lacks {error}; is it of this version?") from error


def _refuse_old(stored: Settings) -> None:
  """Refuses a config whose fields have the names of version 0.1.

  Raises:
    UsageError: names the fields with their old and new names.
  """
  renamed = old_names(flat(stored))
  if renamed:
    names = ", ".join(f"{old} (now {new})" for old, new in renamed.items())
    raise UsageError(
      f"it is of version 0.1 of mbrl_jax, whose names for {names} and checkpoints this version "
      "does not read: go on with version 0.1, or train anew."
    )
