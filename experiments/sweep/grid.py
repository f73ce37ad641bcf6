"""Expands ``--sweep.NAME=a,b`` to combinations: names and settings of runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from experiments import run_settings
from experiments.command_line import env_reference
from experiments.command_line.cli import Dotted, UsageError
from experiments.command_line.flag_error import flag_error
from mbrl_jax.runtime.storage.run_folder import flat

FLAGS = ("algo", "env", "preset", "physics")
"""Flags of ``experiments.train`` that can be swept, in addition to config and task."""
OPEN, CLOSE = "([{", ")]}"


class Cell(NamedTuple):
  """One combination of values.

  Attributes:
    name: of its folder, built from its values.
    values: the value of each swept name, as typed.
    flags: ``--algo`` and so on, swept ones included.
    dotted: overrides of config and task, swept ones included.
    settings: the resulting settings, see ``run_settings.make_settings``.
  """

  name: str
  values: dict[str, str]
  flags: dict[str, Any]
  dotted: Dotted
  settings: run_settings.Settings


def split_values(name: str, text: str) -> list[str]:
  """Splits the values of one name at semicolons or, without any, at commas outside brackets.

  Raises:
    UsageError: a value is empty.
  """
  values = text.split(";") if ";" in text else list(_outside_brackets(text))
  values = [value.strip() for value in values]
  if not all(values):
    raise UsageError(
      f"--sweep.{name}={text!r} has an empty value: separate values by commas or, if they "
      "contain commas, by semicolons."
    )
  return values


def cells(dotted: Dotted, flags: dict[str, Any]) -> list[Cell]:
  """Returns all combinations of the swept values.

  Args:
    dotted: overrides of ``config`` and ``env``, and the values to ``sweep``.
    flags: the other arguments of ``run_settings.make_settings``.

  Raises:
    UsageError: nothing is swept, a name is given twice, or ``make_settings`` refuses a value.
  """
  swept = {name: split_values(name, text) for name, text in dotted["sweep"].items()}
  if not swept:
    raise UsageError("--sweep.NAME is missing, such as --sweep.agent.learning_rate=3e-4,1e-3.")
  for name in swept:
    group, short = _place(name)
    if group != "flags" and short in dotted[group]:
      raise UsageError(f"--sweep.{name} and --{group}.{short} exclude each other.")
  found = [
    _cell(dict(zip(swept, values, strict=True)), dotted, flags)
    for values in itertools.product(*swept.values())
  ]
  names = [cell.name for cell in found]
  for name in names:
    if names.count(name) > 1:
      raise UsageError(f"--sweep lists {name} twice.")
  return found


def _cell(values: dict[str, str], dotted: Dotted, flags: dict[str, Any]) -> Cell:
  flags = dict(flags)
  own = {group: dict(dotted[group]) for group in ("config", "env")}
  for name, value in values.items():
    group, short = _place(name)
    (flags if group == "flags" else own[group])[short] = value
  try:
    settings = run_settings.make_settings(
      **flags, env_overrides=own["env"], config_overrides=own["config"]
    )
  except UsageError as error:
    raise swept_error(error, values) from error
  return Cell(_name(values, settings), values, flags, own, settings)


def _place(name: str) -> tuple[str, str]:
  """Returns the group of a swept name (flags, env or config) and its name there."""
  if name in FLAGS:
    return "flags", name
  return ("env", name[4:]) if name.startswith("env.") else ("config", name)


def _name(values: dict[str, str], settings: run_settings.Settings) -> str:
  """Names a combination by its parsed values: 3e-4 and 0.0003 give the same name."""
  known = {
    "config": flat(settings["config"]),
    "env": flat(settings["env_overrides"]),
    "flags": {**settings, "env": env_reference.label(settings["env"])},
  }
  short = [name.rpartition(".")[2] for name in values]
  parts = []
  for name, typed in values.items():
    group, inner = _place(name)
    last = inner.rpartition(".")[2]
    label = last if short.count(last) == 1 else name
    parts.append(f"{label}={_text(known[group].get(inner, typed))}")
  return "_".join(parts)


def _text(value: Any) -> str:
  """Formats a value for the name of a folder."""
  if isinstance(value, (tuple, list)):
    return "x".join(map(_text, value))
  return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-") or "none"


def _outside_brackets(text: str) -> Iterator[str]:
  depth, start = 0, 0
  for i, letter in enumerate(text):
    depth += (letter in OPEN) - (letter in CLOSE)
    if letter == "," and depth == 0:
      yield text[start:i]
      start = i + 1
  yield text[start:]


def swept_error(error: UsageError, values: Mapping[str, str]) -> UsageError:
  """Renames the flags in the error of a run: swept ones become ``--sweep.NAME``.

  Args:
    error: names the flags of the run, such as ``--config.agent.tau``.
    values: by swept name, such as ``agent.tau``.
  """

  def flag(name: str) -> str:
    group, short = _place(name)
    return f"--{short}" if group == "flags" else f"--{group}.{short}"

  return flag_error(error, flags={flag(name): f"--sweep.{name}" for name in values})
