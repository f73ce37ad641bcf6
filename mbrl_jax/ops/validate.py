"""Checks of arguments at construction, in whole sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def choice(argument: str, value: Any, valid: Iterable[Any]) -> Any:
  """Returns ``value`` if it is among ``valid``.

  Raises:
    ValueError: otherwise; names the argument, the value, the nearest spelling
      and all valid choices, similar ones first.
  """
  valid = list(valid)
  if value in valid:
    return value
  folded = {str(v).lower(): v for v in valid}
  matches = difflib.get_close_matches(
    str(value).lower(), folded, n=len(folded) or 1, cutoff=0.4
  )
  near = [folded[match] for match in matches]
  hint = f" Did you mean {near[0]!r}?" if near else ""
  listed = ", ".join(repr(v) for v in [*near, *(v for v in valid if v not in near)])
  raise ValueError(f"{argument}={value!r} is not known.{hint} Valid choices: {listed}.")


def positive(**arguments: float) -> None:
  """Raises ``ValueError`` naming the first argument that is not above zero."""
  for name, value in arguments.items():
    if not value > 0:
      raise ValueError(f"{name} must be positive, got {value!r}.")


LARGEST_SEED = 2**32 - 1
"""``jax.random.key`` makes keys of 32 bits: larger seeds would equal smaller ones."""


def seeds(first: Any, count: int = 1, argument: str = "seed") -> None:
  """Raises ``ValueError`` unless ``count`` seeds from ``first`` on give different keys."""
  whole = hasattr(first, "__index__") and not isinstance(first, bool)
  if not whole or not 0 <= first <= LARGEST_SEED - (count - 1):
    several = f", the first of {count}" if count > 1 else ""
    raise ValueError(
      f"{argument} must be a whole number from 0 to {LARGEST_SEED}: random keys are made of 32 "
      f"bits; got {first!r}{several}."
    )


def between(low: float, high: float, **arguments: float) -> None:
  """Raises ``ValueError`` naming the first argument outside ``[low, high]``."""
  for name, value in arguments.items():
    if not low <= value <= high:
      raise ValueError(f"{name} must lie between {low} and {high}, got {value!r}.")
