"""Builds an algorithm's config from its defaults, a preset and typed overrides."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import math
import re
import types
import typing
from typing import Any, NamedTuple

from mbrl_jax.ops import validate
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError

UNREADABLE = (ValueError, TypeError, SyntaxError, ArithmeticError, RecursionError, MemoryError)
"""What Python says of a text that is no literal, and of a number that is no float."""
LARGEST = 2**31 - 1
"""Compiled programs count with 32 bits."""


class Field(NamedTuple):
  """One leaf of a config.

  Attributes:
    type: its annotated type.
    default: its default value.
    help: what its docstring says.
  """

  type: Any
  default: Any
  help: str


def fields(config: Any, prefix: str = "") -> dict[str, Field]:
  """Lists the leaves of a nested dataclass by dotted name."""
  hints, texts = typing.get_type_hints(type(config)), _attributes(type(config))
  leaves: dict[str, Field] = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      leaves |= fields(value, f"{prefix}{field.name}.")
    else:
      help_text = texts.get(field.name, "")
      leaves[prefix + field.name] = Field(hints[field.name], value, help_text)
  return leaves


def override(config: Any, values: dict[str, Any]) -> Any:
  """Returns ``config`` with leaves replaced, by dotted name.

  Args:
    config: a nested frozen dataclass.
    values: new values; texts, such as command-line arguments, are parsed as the
      type of their field.

  Raises:
    ArgumentError: a name that is not a field, or a value of another type.
  """
  known = fields(config)
  for name, value in values.items():
    validate.known(name, known)
    config = _replace(config, name.split("."), _parse(name, value, known[name].type))
  return config


def to_dict(config: Any) -> dict[str, Any]:
  """Returns a nested dictionary of a config."""
  return dataclasses.asdict(config)


def from_dict(default: Any, values: dict[str, Any]) -> Any:
  """Fills a config from what ``to_dict`` returned, perhaps by way of JSON.

  Raises:
    ArgumentError: a field is missing, unknown, or no value of its type.
  """
  stored = _flatten(values)
  config = override(default, stored)
  for name, field in fields(config).items():
    if name not in stored:
      raise ArgumentError(name, NO_VALUE, "is missing.")
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    if stored[name] not in (value, field.default):
      raise _wrong_type(name, stored[name], field.type)
  return config


def literal(text: str) -> Any:
  """Reads a number, bool or tuple; what is none of these stays text."""
  try:
    return ast.literal_eval(text)
  except UNREADABLE:
    return text


def nested(values: dict[str, Any]) -> dict[str, Any]:
  """Reads texts as literals and turns ``{"a.b": x}`` into ``{"a": {"b": x}}``.

  Raises:
    ArgumentError: a name is given both a value and parts of one.
  """
  tree: dict[str, Any] = {}
  for name, value in values.items():
    branch, (*heads, last) = tree, name.split(".")
    for head in heads:
      branch = branch.setdefault(head, {})
      if not isinstance(branch, dict):
        own = f": --env.{head} has a value of its own."
        raise ArgumentError(f"--env.{name}", NO_VALUE, own)
    branch[last] = literal(value)
  return tree


def presets(algo: str) -> list[str]:
  """Lists the presets of an algorithm."""
  return sorted(_module(algo).PRESETS)


def preset_values(algo: str, preset: str, env: str) -> dict[str, Any]:
  """Returns a preset's overrides for a task: those for any task, then the task's own."""
  table = _module(algo).PRESETS[validate.choice("preset", preset, presets(algo))]
  return {**table.get("any", {}), **table.get(env, {})}


def describe(config: Any) -> str:
  """Writes every field as a flag with its default and meaning, for ``--help``."""
  lines = []
  for name, field in fields(config).items():
    lines += [f"  --config.{name}: {field.help}", f"    (default: {field.default!r})"]
  return "\n".join(lines)


def _module(algo: str) -> Any:
  return importlib.import_module(f"experiments.configs.{algo}")


def _attributes(kind: type) -> dict[str, str]:
  """Reads the Attributes section of a docstring."""
  text = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
  found = re.findall(r"^  (\w[\w, ]*): (.*(?:\n   +.*)*)", text, re.MULTILINE)
  return {
    name.strip(): " ".join(line.split()) for names, line in found for name in names.split(",")
  }


def _replace(config: Any, path: list[str], value: Any) -> Any:
  head, *rest = path
  if rest:
    value = _replace(getattr(config, head), rest, value)
  return dataclasses.replace(config, **{head: value})


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for name, value in values.items():
    nested = isinstance(value, dict)
    flat |= _flatten(value, f"{prefix}{name}.") if nested else {prefix + name: value}
  return flat


def _parse(name: str, value: Any, kind: Any) -> Any:
  """Reads ``value`` as ``kind``: bool, int, float, str, a tuple of one, or None."""
  try:
    parsed = _convert(value, kind)
  except UNREADABLE as error:
    raise _wrong_type(name, value, kind) from error
  for number in parsed if isinstance(parsed, tuple) else (parsed,):
    if isinstance(number, float) and not math.isfinite(number):
      raise ArgumentError(name, value, "must be finite.")
    if isinstance(number, int) and abs(number) > LARGEST:
      raise ArgumentError(name, value, f"is too large: {LARGEST} is the most.")
  return parsed


def _wrong_type(name: str, value: Any, kind: Any) -> ArgumentError:
  expected = kind.__name__ if isinstance(kind, type) else str(kind)
  return ArgumentError(name, value, f"is not of the right type: expected {expected}.")


def _convert(value: Any, kind: Any) -> Any:
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if origin in (types.UnionType, typing.Union):
    if value in (None, "None", "none"):
      return None
    return _convert(value, next(a for a in arguments if a is not types.NoneType))
  if origin is tuple or kind is tuple:
    items = ast.literal_eval(value) if isinstance(value, str) else value
    items = items if isinstance(items, (tuple, list)) else (items,)
    return tuple(_convert(item, arguments[0] if arguments else type(item)) for item in items)
  if kind is bool and isinstance(value, str):
    value = {"true": "True", "1": "True", "false": "False", "0": "False"}.get(
      value.lower(), value
    )
  if isinstance(value, str) and kind is not str:
    value = ast.literal_eval(value)
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  return value if type(value) is kind else _refuse(value)


def _refuse(value: Any) -> Any:
  raise TypeError(f"{value!r}")
