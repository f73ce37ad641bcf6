"""Recorded datasets: the room that they need, and runs that learn from nothing else."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.buffers import ring
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import TrainState, Transition


def check_dataset(dataset: str, real_ratio: float) -> None:
  """Checks that an offline run trains on real transitions only.

  Args:
    dataset: file of transitions; empty: the run is online.
    real_ratio: share of real transitions in a batch.

  Raises:
    ValueError: a dataset with ``real_ratio`` below 1.
  """
  if dataset and real_ratio < 1:
    raise ArgumentError(
      "dataset",
      dataset,
      "needs {}, not {}: offline training does not plan, so there are no planned transitions.",
      ("real_ratio", 1),
      ("real_ratio", real_ratio),
    )


def check_capacity(capacity: int, count: int) -> None:
  """Checks that a buffer of ``capacity`` transitions holds a dataset of ``count``.

  Raises:
    ValueError: it does not; names the capacity that it needs.
  """
  if count > capacity:
    text = f"is less than the {count} transitions of the dataset: set {{}}."
    raise ArgumentError("capacity", capacity, text, ("capacity", count))


def preload(state: TrainState, transitions: Transition) -> TrainState:
  """Fills the replay buffer ``learn.real`` of a new run with transitions ``[n, ...]``.

  Raises:
    ValueError: see ``check_capacity``.
  """
  real, count = state.learn.real, len(transitions.reward)
  check_capacity(real.capacity, count)
  real = ring.add_many(real, transitions, jnp.ones(count, bool))
  return state._replace(learn=state.learn._replace(real=real))
