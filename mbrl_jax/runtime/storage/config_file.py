"""Reads ``config.json`` and checks its fields, because a user may have edited it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mbrl_jax.ops import validate
from mbrl_jax.runtime.storage.files import RunFolderError

COUNT = 0, 2**31 - 1
FIELDS: dict[str, tuple[type, tuple[int, int] | None]] = {
  "algo": (str, None),
  "env": (str, None),
  "env_fingerprint": (str, None),
  "physics": (str, None),
  "preset": (str, None),
  "seed": (int, (0, validate.LARGEST_SEED)),
  "seeds": (int, (1, COUNT[1])),
  "envs": (int, (1, COUNT[1])),
  "eval_every": (int, COUNT),
  "eval_steps": (int, COUNT),
  "eval_episodes": (int, (1, COUNT[1])),
  "env_overrides": (dict, None),
  "env_schedule": (str, None),
  "init_policy": (str, None),
  "config": (dict, None),
}
"""Types of fields of ``config.json``, and bounds of integers."""


def read(path: Path) -> dict[str, Any]:
  """Reads ``config.json`` and checks the fields listed in ``FIELDS``.

  Raises:
    RunFolderError: it cannot be read, or a field has an invalid value; names the field.
  """
  config = read_json(path)
  for name in (name for name in FIELDS if name in config):
    _check(path, name, config[name])
  if {"seed", "seeds"} <= config.keys():
    try:
      validate.seeds(config["seed"], config["seeds"])
    except ValueError as error:
      raise RunFolderError(f"{path}: {error}") from error
  return config


def read_json(path: Path) -> dict[str, Any]:
  """Reads a file that holds one JSON object."""
  try:
    found = json.loads(path.read_text())
  except (OSError, ValueError, RecursionError) as error:
    raise RunFolderError(f"{path} cannot be read: {error}.") from error
  if not isinstance(found, dict):
    raise RunFolderError(f"{path} does not contain a JSON object.")
  return found


def _check(path: Path, name: str, value: Any) -> None:
  """Checks the type and the bounds of one field."""
  kind, bounds = FIELDS[name]
  found: type = type(value)
  if found is not kind:
    expected = {str: "a string", int: "a whole number", dict: "an object"}[kind]
    raise RunFolderError(f"{path}: {name} is {value!r}, not {expected}.")
  if bounds and not bounds[0] <= value <= bounds[1]:
    raise RunFolderError(f"{path}: {name} is {value!r}, not from {bounds[0]} to {bounds[1]}.")
