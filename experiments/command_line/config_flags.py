"""Builds an algorithm's config from its defaults, a preset and overrides.

A part that is selected by name, such as a planner, may have its own options. Its config
(``PlannerConfig``) then has ``name``, the mapping ``settings``, a method ``options``, which
returns all options with their values, and ``select``, which returns the config with another
part. Options have dotted names like fields: ``planner.elites``.

``config_flags.DEFINE_config_dataclass`` of ml_collections 1.1 is not used: it assigns to
fields, which fails for frozen dataclasses, reads neither ``none`` for an optional field nor
fractions, and has no options that depend on a name.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import math
import types
import typing
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from experiments.command_line.added import ADDED
from experiments.command_line.renamed import new_name
from mbrl_jax.ops import docstrings, validate
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError
from mbrl_jax.planners.search_arguments import unknown, wrong_type

UNREADABLE = (ValueError, TypeError, SyntaxError, ArithmeticError, RecursionError, MemoryError)
"""Exceptions of parsing: not a literal, or not a number of the type."""
LARGEST = 2**31 - 1
"""Compiled programs count with 32 bits."""


class Field(NamedTuple):
  """One leaf of a config.

  Attributes:
    type: its annotated type.
    default: its default value.
    help: its entry in the docstring.
  """

  type: Any
  default: Any
  help: str


def fields(config: Any, prefix: str = "") -> dict[str, Field]:
  """Lists the leaves of a nested dataclass by dotted name, including options of parts."""
  hints = typing.get_type_hints(type(config))
  texts = docstrings.entries(type(config), "Attributes")
  leaves: dict[str, Field] = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      leaves |= fields(value, f"{prefix}{field.name}.")
    elif field.name == "settings":
      leaves |= {prefix + name: Field(*option) for name, option in config.options().items()}
    else:
      help_text = texts.get(field.name, "")
      leaves[prefix + field.name] = Field(hints[field.name], value, help_text)
  return leaves


def override(config: Any, values: dict[str, Any]) -> Any:
  """Returns ``config`` with leaves replaced, by dotted name.

  Args:
    config: a nested frozen dataclass. A part that replaces another drops the settings that
      it does not have.
    values: new values; strings, such as command-line arguments, are parsed as the type of
      their field.

  Raises:
    ArgumentError: an unknown field, or a value of another type.
  """
  # Names of parts go first: they determine the options.
  for name in sorted(values, key=lambda name: name.rpartition(".")[2] != "name"):
    known = fields(config)
    if name not in known:
      _refuse_name(config, name, known)
    value = parse(name, values[name], known[name].type)
    config = _replace(config, name.split("."), value)
  return config


def to_dict(config: Any) -> dict[str, Any]:
  """Returns a config as a nested dictionary, with all options."""
  tree: dict[str, Any] = {}
  for name, field in fields(config).items():
    branch, (*heads, last) = tree, name.split(".")
    for head in heads:
      branch = branch.setdefault(head, {})
    branch[last] = field.default
  return tree


def from_dict(default: Any, values: dict[str, Any]) -> Any:
  """Builds a config from the result of ``to_dict``, which may have been stored as JSON.

  Fields of ``ADDED`` may be missing.

  Raises:
    ArgumentError: a field is missing, unknown, or of the wrong type.
  """
  own = fields(default)
  stored = {name: value for name, value in ADDED.items() if name in own} | _flatten(values)
  config = override(default, stored)
  for name, field in fields(config).items():
    if name not in stored:
      raise ArgumentError(name, NO_VALUE, "is missing.")
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    if stored[name] not in (value, field.default):
      raise wrong_type(name, stored[name], field.type)
  return config


def literal(text: str) -> Any:
  """Parses a Python literal, such as a number, bool or tuple; other text stays a string."""
  try:
    return ast.literal_eval(text)
  except UNREADABLE:
    return text


def nested(values: dict[str, Any]) -> dict[str, Any]:
  """Parses values as literals and nests them: ``{"a.b": x}`` becomes ``{"a": {"b": x}}``.

  Raises:
    ArgumentError: a name has both a value and parts.
  """
  tree: dict[str, Any] = {}
  for name, value in values.items():
    branch, (*heads, last) = tree, name.split(".")
    for head in heads:
      branch = branch.setdefault(head, {})
      if not isinstance(branch, dict):
        conflict = f"conflicts with the value of --env.{head}."
        raise ArgumentError(f"--env.{name}", NO_VALUE, conflict)
    branch[last] = literal(value)
  return tree


def presets(algo: str) -> list[str]:
  """Lists the presets of an algorithm."""
  return sorted(_presets(algo))


def preset_values(algo: str, preset: str, env: str) -> dict[str, Any]:
  """Returns a preset's overrides for a task: those for ``any``, then those of the task."""
  table = _presets(algo)[validate.choice("preset", preset, presets(algo))]
  return {**table.get("any", {}), **table.get(env, {})}


def describe(leaves: Mapping[str, Any], flag: str = "--config.") -> str:
  """Describes leaves as flags with their help and defaults, for ``--help``.

  Args:
    leaves: ``Field`` by name, or anything that has ``default`` and ``help``.
    flag: prefix of each name.
  """
  lines = []
  for name, leaf in leaves.items():
    lines += [f"  {flag}{name}: {leaf.help}", f"    (default: {leaf.default!r})"]
  return "\n".join(lines)


def _presets(algo: str) -> dict[str, dict[str, dict[str, Any]]]:
  """Returns an algorithm's presets; without a file the only one is ``cpu``, the defaults."""
  if importlib.util.find_spec(f"experiments.configs.{algo}") is None:
    return {"cpu": {}}
  return importlib.import_module(f"experiments.configs.{algo}").PRESETS


def _replace(config: Any, path: list[str], value: Any) -> Any:
  head, *rest = path
  if rest:
    value = _replace(getattr(config, head), rest, value)
  elif hasattr(config, "select") and head == "name":
    return config.select(value)
  elif hasattr(config, "options") and head in config.options():
    head, value = "settings", {**config.settings, head: value}
  return dataclasses.replace(config, **{head: value})


def _refuse_name(config: Any, name: str, known: dict[str, Field]) -> None:
  """Raises ``ArgumentError`` for an unknown name, with the valid ones or a suggestion."""
  new = new_name(name)
  if new in known:
    raise ArgumentError(name, NO_VALUE, f"was renamed to {new} in version 0.2.")
  *heads, last = name.split(".")
  for head in heads:
    config = getattr(config, head, None)
  if hasattr(config, "options"):
    raise unknown(name, last, config.name, _names_of(config))
  validate.known(name, known)


def _names_of(part: Any) -> list[str]:
  """Lists the fields of a part, its options first."""
  own = fields(part)
  return sorted(own, key=lambda name: name not in part.options())


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for name, value in values.items():
    nested = isinstance(value, dict)
    flat |= _flatten(value, f"{prefix}{name}.") if nested else {prefix + name: value}
  return flat


def parse(argument: str, value: Any, kind: Any) -> Any:
  """Parses ``value`` as ``kind``: bool, int, float (or a fraction, 1/64), str, tuple or None.

  Raises:
    ArgumentError: the wrong type, or a number that is not finite or too large.
  """
  try:
    parsed = _convert(value, kind)
  except UNREADABLE as error:
    raise wrong_type(argument, value, kind) from error
  for number in parsed if isinstance(parsed, tuple) else (parsed,):
    if isinstance(number, float) and not math.isfinite(number):
      raise ArgumentError(argument, value, "must be finite.")
    if isinstance(number, int) and abs(number) > LARGEST:
      raise ArgumentError(argument, value, f"is too large: the maximum is {LARGEST}.")
  return parsed


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
  if isinstance(value, str) and kind is float and "/" in value:
    return float(Fraction(value))
  if isinstance(value, str) and kind is not str:
    value = ast.literal_eval(value)
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  return value if type(value) is kind else _refuse(value)


def _refuse(value: Any) -> Any:
  raise TypeError(f"{value!r}")
