"""The arguments of searches' factories, read from their signatures.

Configs of algorithms, programs and their help take from here what a search can be told, so that
an argument is written down once, in its factory.
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
    default: its value where none is given.
    help: what the factory's docstring says of it.
  """

  type: Any
  default: Any
  help: str


def settings_of(factory: Callable[..., Any]) -> dict[str, Setting]:
  """Returns the named arguments of a factory.

  Raises:
    ValueError: an argument has no default, so that its name alone would make no search.
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

  A temperature that is given holds: ``ess_fraction``, which would set it anew in each update,
  is then 0 unless it is given, too.

  Args:
    known: from ``settings_of``.
    given: values by name.
    defaults: values that go before the factory's where none is given.
  """
  values = {name: setting.default for name, setting in known.items()} | defaults
  if "temperature" in given and "ess_fraction" in known:
    values["ess_fraction"] = 0.0
  return {name: {**values, **given}[name] for name in known}


def check(planner: str, known: Mapping[str, Setting], given: Mapping[str, Any]) -> None:
  """Checks that values are settings of a planner and of their types.

  Args:
    planner: its name.
    known: from ``settings_of``.
    given: values by name.

  Raises:
    ArgumentError: names the first that is not, and what would be.
  """
  for name, value in given.items():
    if name not in known:
      raise unknown(name, name, planner, known)
    if not _fits(value, known[name].type):
      raise wrong_type(name, value, known[name].type)


def unknown(argument: str, name: str, planner: str, valid: Iterable[str]) -> ArgumentError:
  """Returns what is said of a setting that a planner does not have.

  Args:
    argument: what the user wrote.
    name: of the setting.
    planner: its name.
    valid: the settings that there are.
  """
  valid = list(valid)
  near = difflib.get_close_matches(name, valid, n=1)
  hint = f" (did you mean {near[0]}?)" if near else ""
  text = f"is no setting of {planner}{hint}: it has {', '.join(valid)}."
  return ArgumentError(argument, NO_VALUE, text)


def wrong_type(argument: str, value: Any, kind: Any) -> ArgumentError:
  """Returns what is said of a value that is not of the type ``kind``."""
  expected = kind.__name__ if isinstance(kind, type) else str(kind)
  return ArgumentError(argument, value, f"is not of the right type: expected {expected}.")


def _fits(value: Any, kind: Any) -> bool:
  """Tells whether a value is of an annotated type; numbers of numpy are numbers."""
  if typing.get_origin(kind) in (types.UnionType, typing.Union):
    return any(_fits(value, one) for one in typing.get_args(kind))
  if kind in (int, float):
    wanted = numbers.Integral if kind is int else numbers.Real
    return isinstance(value, wanted) and not isinstance(value, bool)
  return kind is Any or isinstance(value, typing.get_origin(kind) or kind)
