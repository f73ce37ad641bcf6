"""Linear schedules over epochs: ``[start_epoch, end_epoch, start_value, end_value]``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import Array


def check_schedule(name: str, schedule: Sequence[float], low: float, high: float) -> None:
  """Checks a schedule.

  Raises:
    ValueError: not four finite numbers, an end before the start, or values outside
      ``[low, high]``.
  """
  form = "[start_epoch, end_epoch, start_value, end_value]"
  if len(schedule) != 4:
    raise ArgumentError(name, tuple(schedule), f"must have four numbers: {form}.")
  if not all(math.isfinite(number) for number in schedule):
    raise ArgumentError(name, tuple(schedule), f"must have finite numbers: {form}.")
  if schedule[0] >= schedule[1]:
    raise ArgumentError(name, tuple(schedule), f"ends before it starts; it reads {form}.")
  if not all(low <= value <= high for value in schedule[2:]):
    text = f"has values outside {low} to {high}; it reads {form}."
    raise ArgumentError(name, tuple(schedule), text)


def at_epoch(schedule: Sequence[float], epoch: Array) -> Array:
  """Returns the value at ``epoch``: linear between start and end, constant outside.

  It is exact at both ends and monotonic in between, float32.
  """
  first, last, *values = schedule
  start, end = (np.float32(value) for value in values)
  share = jnp.clip(jnp.float32(epoch - first) / np.float32(last - first), 0.0, 1.0)
  value = jnp.clip(start + share * (end - start), min(start, end), max(start, end))
  return jnp.where(epoch >= math.ceil(last), end, value)


def floor_at_epoch(schedule: Sequence[float], epoch: Array, scale: int = 1) -> Array:
  """Returns ``floor(scale * at_epoch(schedule, epoch))`` in exact arithmetic, int32.

  The epochs at which it changes are computed beforehand as fractions of the decimal numbers:
  0.1 is one tenth.

  Args:
    schedule: static.
    epoch: ``[]``, or with a last axis of 1 ``[..., 1]``, int32.
    scale: factor on the values, such as the size of a batch.
  """
  first, last, start, end = (Fraction(str(number)) for number in schedule)
  start, end = scale * start, scale * end
  low, high = math.floor(min(start, end)), math.floor(max(start, end))
  slope = (end - start) / (last - first)
  reached = [first + (level - start) / slope for level in range(low + 1, high + 1)]
  # A rising schedule reaches a level at the first epoch at or after its crossing; a falling one
  # leaves it at the first epoch after.
  sign, base = (1, low) if start <= end else (-1, high)
  jumps = [math.ceil(e) if sign > 0 else math.floor(e) + 1 for e in reached]
  past = jnp.asarray(np.array(sorted(jumps), np.int32)) <= epoch
  return base + sign * jnp.sum(past, axis=-1, dtype=jnp.int32)
