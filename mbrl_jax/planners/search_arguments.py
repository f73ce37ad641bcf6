"""The arguments of search factories, read from their signatures and docstrings.

Configs of algorithms, programs and their help read them from here, so that an argument is
defined once, in its factory.
"""

from __future__ import annotations

import difflib
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mbrl_jax.ops import docstrings
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError


class Setting(NamedTuple):
  """One argument of a factory.

  Attributes:
    type: its annotated type.
    default: its default value.
    help: its description in the factory's docstring.
  """

  type: Any
  default: Any
  help: str


def settings_of(factory: Callable[..., Any]) -> dict[str, Setting]:
  """Returns the named arguments of a factory.

  Raises:
    ValueError: an argument has no default, so that the factory's name would not suffice.

  Example:
    >>> from mbrl_jax.planners import cem
    >>> settings_of(cem)["elites"].default
    40
  """
  hints, texts = typing.get_type_hints(factory), docstrings.entries(factory, "Args")
  found = {}
  for name, parameter in inspect.signature(factory).parameters.items():
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
      continue
    if parameter.default is parameter.empty:
      raise ValueError(f"the argument {name!r} of {factory.__name__} must have a default.")
    kind = hints.get(name, type(parameter.default))
    found[name] = Setting(kind, parameter.default, texts.get(name, ""))
  return found


def complete(
  known: Mapping[str, Setting], given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns a value for each setting.

  A given temperature is fixed: ``ess_fraction``, which would set it in each update, is then 0
  unless it is given too.

  Args:
    known: from ``settings_of``.
    given: values by name.
    defaults: values that replace the factory's defaults.
  """
  values = {**{name: setting.default for name, setting in known.items()}, **defaults}
  if "temperature" in given and "ess_fraction" in known:
    values["ess_fraction"] = 0.0
  return {name: {**values, **given}[name] for name in known}


def check(planner: str, known: Mapping[str, Setting], given: Mapping[str, Any]) -> None:
  """Checks that values are settings of a planner and have the right types.

  Args:
    planner: its name.
    known: from ``settings_of``.
    given: values by name.

  Raises:
    ArgumentError: names the first invalid value, and the valid choices.
  """
  for name, value in given.items():
    if name not in known:
      raise unknown(name, name, planner, known)
    if not _has_type(value, known[name].type):
      raise wrong_type(name, value, known[name].type)


def unknown(argument: str, name: str, planner: str, valid: Iterable[str]) -> ArgumentError:
  """Returns the error for a setting that a planner does not have.

  Args:
    argument: as the user wrote it.
    name: of the setting.
    planner: its name.
    valid: names of the planner's settings.
  """
  valid = list(valid)
  matches = difflib.get_close_matches(name, valid, n=1)
  hint = f" (did you mean {matches[0]}?)" if matches else ""
  text = f"is no setting of {planner}{hint}: it has {', '.join(valid)}."
  return ArgumentError(argument, NO_VALUE, text)


def wrong_type(argument: str, value: Any, kind: Any) -> ArgumentError:
  """Returns the error for a value that is not of the type ``kind``."""
  expected = kind.__name__ if isinstance(kind, type) else str(kind)
  return ArgumentError(argument, value, f"is not of the right type: expected {expected}.")


def _has_type(value: Any, kind: Any) -> bool:
  """Returns whether a value is of an annotated type; numpy's numbers count as numbers."""
  if typing.get_origin(kind) in (types.UnionType, typing.Union):
    return any(_has_type(value, member) for member in typing.get_args(kind))
  if kind in (int, float):
    number = numbers.Integral if kind is int else numbers.Real
    return isinstance(value, number) and not isinstance(value, bool)
  return kind is Any or isinstance(value, typing.get_origin(kind) or kind)
