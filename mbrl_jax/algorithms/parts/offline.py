"""Offline runs: the replay buffer holds a dataset, and nothing is added to it."""

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


def preload(state: TrainState, transitions: Transition) -> TrainState:
  """Fills the replay buffer ``learn.real`` of a new run with transitions ``[n, ...]``.

  Raises:
    ValueError: more transitions than its capacity.
  """
  real, count = state.learn.real, len(transitions.reward)
  if count > real.capacity:
    text = f"is less than the {count} transitions of the dataset: set {{}}."
    raise ArgumentError("capacity", real.capacity, text, ("capacity", count))
  real = ring.add_many(real, transitions, jnp.ones(count, bool))
  return state._replace(learn=state.learn._replace(real=real))
