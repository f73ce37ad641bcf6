"""Linear schedules over epochs: ``[start_epoch, end_epoch, start_value, end_value]``."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from mbrl_jax.types import Array


def check_schedule(name: str, schedule: Sequence[float], low: float, high: float) -> None:
  """Checks a schedule.

  Raises:
    ValueError: it has not four numbers, ends before it starts, or has values outside
      ``[low, high]``.
  """
  form = "[start_epoch, end_epoch, start_value, end_value]"
  if len(schedule) != 4:
    raise ValueError(f"{name}={tuple(schedule)!r} must have four numbers: {form}.")
  if schedule[0] >= schedule[1]:
    raise ValueError(f"{name}={tuple(schedule)!r} ends before it starts; it reads {form}.")
  if not all(low <= value <= high for value in schedule[2:]):
    raise ValueError(
      f"{name}={tuple(schedule)!r} has values outside {low} to {high}; it reads {form}."
    )


def at_epoch(schedule: Sequence[float], epoch: Array) -> Array:
  """Returns the value at ``epoch``: linear between start and end, constant outside."""
  first, last, low, high = schedule
  share = jnp.clip((epoch - first) / (last - first), 0.0, 1.0)
  return low + share * (high - low)
