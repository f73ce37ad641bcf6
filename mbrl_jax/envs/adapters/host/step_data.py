"""Inputs and outputs of a batch step on the host; numpy only, because workers have no jax."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class RowInput(NamedTuple):
  """The state of one row and the action to take in it.

  Attributes:
    seed: of the episode ``[]`` uint32.
    token: hash that identifies the state ``[2]`` uint32.
    steps: actions taken so far ``[]``.
    actions: all actions of the episode ``[T, A]``, of which the first ``steps`` are valid;
      ``None`` where an instance is expected to be in the state already.
    obs: flat observation ``[O]``.
    ended: whether the episode is over ``[]`` bool.
    action: within the bounds ``[A]``.
  """

  seed: np.uint32
  token: np.ndarray
  steps: np.integer
  actions: np.ndarray | None
  obs: np.ndarray
  ended: np.bool_
  action: np.ndarray


class InputBatch(NamedTuple):
  """The fields of ``RowInput`` for ``N`` rows, ``[N, ...]`` each."""

  seed: np.ndarray
  token: np.ndarray
  steps: np.ndarray
  actions: np.ndarray | Sequence[np.ndarray | None]
  obs: np.ndarray
  ended: np.ndarray
  action: np.ndarray

  def row(self, index: int) -> RowInput:
    """Returns one row."""
    fields: list[Any] = [field[index] for field in self]
    return RowInput(*fields)


class OutputBatch(NamedTuple):
  """Results of a step of ``N`` rows.

  Attributes:
    token: of the next state ``[N, 2]`` uint32.
    action: the rows' actions, bit for bit as the environments received them ``[N, A]``.
    before: observation in which the action was taken ``[N, O]``.
    obs: observation after the action ``[N, O]``.
    pose: positions for a renderer ``[N, Q]``.
    reward: the environment's own ``[N]``.
    terminated, truncated: the environment's own ``[N]`` bool.
    lost: whether the state could not be restored and a new episode was started ``[N]`` bool.
  """

  token: np.ndarray
  action: np.ndarray
  before: np.ndarray
  obs: np.ndarray
  pose: np.ndarray
  reward: np.ndarray
  terminated: np.ndarray
  truncated: np.ndarray
  lost: np.ndarray


def empty_outputs(count: int, obs_dim: int, pose_dim: int, action_dim: int) -> OutputBatch:
  """Returns zeroed outputs of ``count`` rows, to be filled in."""
  real = lambda *shape: np.zeros((count, *shape), np.float32)
  flag = lambda: np.zeros(count, bool)
  token = np.zeros((count, 2), np.uint32)
  obs = real(obs_dim), real(obs_dim)
  flags = flag(), flag(), flag()
  return OutputBatch(token, real(action_dim), *obs, real(pose_dim), real(), *flags)


def state_token(*parts: Any) -> np.ndarray:
  """Hashes arrays to a token ``[2]`` uint32."""
  content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
  return np.frombuffer(hashlib.blake2b(content, digest_size=8).digest(), np.uint32)
