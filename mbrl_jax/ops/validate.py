"""Checks of arguments at construction; what they refuse, as an error that names the argument.

A factory knows its argument as ``samples``, an algorithm's config as ``planner.samples``, a
program as ``--config.planner.samples``. Each renames the error that reaches it: no message is
taken apart.
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
  """A refused argument; its text is one sentence, such as ``samples=0 must be positive.``.

  Attributes:
    argument: its dotted name as the caller knows it, such as ``agent.batch_size``.
    value: what it was given, or ``NO_VALUE``.
    valid: the rest of the sentence. With ``others`` each ``{}`` in it stands for one of them.
    others: names and values of the other arguments that the sentence mentions.

  Example:
    >>> error = ArgumentError("elites", 9, "exceed {}.", ("samples", 5))
    >>> str(error)
    'elites=9 exceed samples=5.'
    >>> str(error.renamed(lambda name: f"--config.planner.{name}"))
    '--config.planner.elites=9 exceed --config.planner.samples=5.'
  """

  def __init__(self, argument: str, value: Any, valid: str, *others: tuple[str, Any]):
    super().__init__(argument, value, valid, *others)  # what pickling makes it anew of
    self.argument, self.value, self.valid, self.others = argument, value, valid, others

  def __str__(self) -> str:
    parts = self.valid.split("{}", len(self.others)) if self.others else [self.valid]
    named = [f"{name}={value!r}" for name, value in self.others]
    valid = "".join(map("".join, zip_longest(parts, named, fillvalue="")))
    given = "" if self.value is NO_VALUE else f"={self.value!r}"
    return f"{self.argument}{given}{'' if valid[:1] in ':,' else ' '}{valid}"

  def renamed(self, rename: Callable[[str], str]) -> ArgumentError:
    """Returns the same error with ``rename`` applied to the name of every argument in it."""
    others = ((rename(name), value) for name, value in self.others)
    return ArgumentError(rename(self.argument), self.value, self.valid, *others)


@contextlib.contextmanager
def prefixed(group: str) -> Iterator[None]:
  """Names what is refused inside as part of a group: ``samples`` as ``planner.samples``.

  Also decorates functions, such as those that take a part of a config.
  """
  try:
    yield
  except ArgumentError as error:
    renamed = error.renamed(lambda name: f"{group}.{name}")
    raise renamed.with_traceback(error.__traceback__) from error.__cause__


def choice(argument: str, value: Any, valid: Iterable[Any]) -> Any:
  """Returns ``value`` if it is among ``valid``.

  Raises:
    ArgumentError: otherwise; says the nearest spelling and all valid choices, similar ones
      first.
  """
  valid = list(valid)
  if value not in valid:
    raise ArgumentError(argument, value, _not_among(value, valid))
  return value


def known(name: str, names: Iterable[str], group: str = "") -> None:
  """Raises ``ArgumentError`` unless ``name`` is among the ``names`` that arguments may have.

  Args:
    name: an argument's.
    names: of all arguments of the function or the group.
    group: what the argument belongs to: the error is about ``group.name``.
  """
  names = list(names)
  if name not in names:
    raise ArgumentError(f"{group}.{name}" if group else name, NO_VALUE, _not_among(name, names))


def _not_among(value: Any, valid: list[Any]) -> str:
  folded = {str(v).lower(): v for v in valid}
  matches = difflib.get_close_matches(
    str(value).lower(), folded, n=len(folded) or 1, cutoff=0.4
  )
  near = [folded[match] for match in matches]
  hint = f" Did you mean {near[0]!r}?" if near else ""
  listed = ", ".join(repr(v) for v in [*near, *(v for v in valid if v not in near)])
  return f"is not known.{hint} Valid choices: {listed}."


def positive(**arguments: Any) -> None:
  """Raises ``ArgumentError`` for the first that is not above zero, or has such an entry."""
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
"""``jax.random.key`` makes keys of 32 bits: larger seeds would equal smaller ones."""


def seeds(first: Any, count: int = 1, argument: str = "seed") -> None:
  """Raises ``ArgumentError`` unless ``count`` seeds from ``first`` on give different keys."""
  whole = hasattr(first, "__index__") and not isinstance(first, bool)
  if not whole or not 0 <= first <= LARGEST_SEED - (count - 1):
    several = f", the first of {count}, " if count > 1 else ""
    bits = f"from 0 to {LARGEST_SEED}: random keys are made of 32 bits."
    raise ArgumentError(argument, first, f"{several}must be a whole number {bits}")
