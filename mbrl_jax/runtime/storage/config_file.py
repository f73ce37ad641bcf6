"""Reads ``config.json``, which somebody may have edited, and checks what its fields are."""

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
  "config": (dict, None),
}
"""What fields of ``config.json`` may be: their type, and the bounds of integers."""


def read(path: Path) -> dict[str, Any]:
  """Reads a file of fields; those of ``FIELDS`` that are there are checked.

  Raises:
    RunFolderError: it cannot be read, or a field cannot be what it is; names it.
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
    raise RunFolderError(f"{path} holds no table of fields.")
  return found


def _check(path: Path, name: str, value: Any) -> None:
  kind, bounds = FIELDS[name]
  if type(value) is not kind:
    expected = {str: "a text", int: "a whole number", dict: "a table"}[kind]
    raise RunFolderError(f"{path}: {name} is {value!r}, not {expected}.")
  if bounds and not bounds[0] <= value <= bounds[1]:
    raise RunFolderError(f"{path}: {name} is {value!r}, not from {bounds[0]} to {bounds[1]}.")
