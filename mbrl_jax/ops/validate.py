"""Argument checks at construction, whose errors name the argument.

A factory knows its argument as ``samples``, an algorithm's config as ``planner.samples``, a
program as ``--config.planner.samples``. Each renames the argument in the error; nothing parses
messages.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any

NO_VALUE = ...
"""The ``value`` of an ``ArgumentError`` about the argument itself, such as an unknown name."""


class ArgumentError(ValueError):
  """An invalid argument; its text is one sentence, such as ``samples=0 must be positive.``.

  Attributes:
    argument: dotted name as the caller knows it, such as ``agent.batch_size``.
    value: the invalid value, or ``NO_VALUE``.
    valid: the rest of the sentence. With ``others`` each ``{}`` in it stands for one of them.
    others: names and values of other arguments in the sentence.

  Example:
    >>> error = ArgumentError("elites", 9, "exceed {}.", ("samples", 5))
    >>> str(error)
    'elites=9 exceed samples=5.'
    >>> str(error.renamed(lambda name: f"--config.planner.{name}"))
    '--config.planner.elites=9 exceed --config.planner.samples=5.'
  """

  def __init__(self, argument: str, value: Any, valid: str, *others: tuple[str, Any]):
    super().__init__(argument, value, valid, *others)  # unpickling passes these again
    self.argument, self.value, self.valid, self.others = argument, value, valid, others

  def __str__(self) -> str:
    parts = self.valid.split("{}", len(self.others)) if self.others else [self.valid]
    named = [f"{name}={value!r}" for name, value in self.others]
    valid = "".join(map("".join, zip_longest(parts, named, fillvalue="")))
    given = "" if self.value is NO_VALUE else f"={self.value!r}"
    return f"{self.argument}{given}{'' if valid[:1] in ':,' else ' '}{valid}"

  def renamed(self, rename: Callable[[str], str]) -> ArgumentError:
    """Returns the same error with ``rename`` applied to the name of every argument."""
    others = ((rename(name), value) for name, value in self.others)
    return ArgumentError(rename(self.argument), self.value, self.valid, *others)


@contextlib.contextmanager
def prefixed(group: str) -> Iterator[None]:
  """Prefixes the argument of errors raised inside: ``samples`` to ``planner.samples``.

  Also a decorator, such as for functions of one part of a config.

  Example:
    >>> with prefixed("planner"):
    ...   positive(samples=0)
    Traceback (most recent call last):
    mbrl_jax.ops.validate.ArgumentError: planner.samples=0 must be positive.
  """
  try:
    yield
  except ArgumentError as error:
    renamed = error.renamed(lambda name: f"{group}.{name}")
    raise renamed.with_traceback(error.__traceback__) from error.__cause__


def choice(argument: str, value: Any, valid: Iterable[Any]) -> Any:
  """Returns ``value`` if it is among ``valid``.

  Raises:
    ArgumentError: otherwise; suggests the nearest spelling and lists all valid choices,
      similar ones first.

  Example:
    >>> choice("env", "cartpol", ["pendulum", "cartpole"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mbrl_jax.ops.validate.ArgumentError: env='cartpol' is not known. Did you mean ...
  """
  valid = list(valid)
  if value not in valid:
    raise ArgumentError(argument, value, _not_among(value, valid))
  return value


def known(name: str, names: Iterable[str], group: str = "") -> None:
  """Raises ``ArgumentError`` unless ``name`` is one of the argument ``names``.

  Args:
    name: name of an argument.
    names: names of all arguments of the function or group.
    group: group of the argument; the error is about ``group.name``.
  """
  names = list(names)
  if name not in names:
    raise ArgumentError(f"{group}.{name}" if group else name, NO_VALUE, _not_among(name, names))


def _not_among(value: Any, valid: list[Any]) -> str:
  """Returns the rest of an error's sentence: nearest spelling and valid choices."""
  folded = {str(v).lower(): v for v in valid}
  matches = difflib.get_close_matches(
    str(value).lower(), folded, n=len(folded) or 1, cutoff=0.4
  )
  near = [folded[match] for match in matches]
  hint = f" Did you mean {near[0]!r}?" if near else ""
  listed = ", ".join(repr(v) for v in [*near, *(v for v in valid if v not in near)])
  return f"is not known.{hint} Valid choices: {listed}."


def positive(**arguments: Any) -> None:
  """Raises ``ArgumentError`` for the first argument with a number that is not above zero."""
  for name, value in arguments.items():
    numbers = value if isinstance(value, (tuple, list)) else (value,)
    if not all(number > 0 for number in numbers):
      raise ArgumentError(name, value, "must be positive.")


def between(low: float, high: float, **arguments: float) -> None:
  """Raises ``ArgumentError`` for the first argument outside ``[low, high]``."""
  for name, value in arguments.items():
    if not low <= value <= high:
      bounds = f"be at least {low}" if high == float("inf") else f"lie between {low} and {high}"
      raise ArgumentError(name, value, f"must {bounds}.")


LARGEST_SEED = 2**32 - 1
"""``jax.random.key`` makes 32-bit keys: larger seeds would alias smaller ones."""


def seeds(first: Any, count: int = 1, argument: str = "seed") -> None:
  """Raises ``ArgumentError`` unless ``count`` seeds from ``first`` on give distinct keys."""
  whole = hasattr(first, "__index__") and not isinstance(first, bool)
  if not whole or not 0 <= first <= LARGEST_SEED - (count - 1):
    several = f", the first of {count}, " if count > 1 else ""
    bits = f"from 0 to {LARGEST_SEED}: random keys are made of 32 bits."
    raise ArgumentError(argument, first, f"{several}must be a whole number {bits}")
