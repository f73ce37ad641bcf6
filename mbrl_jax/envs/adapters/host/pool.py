"""Keeps the instances of an environment that lives on the host.

An instance is found by the token of the state that it is in. Instances that are no longer
needed are reused, the least recently used first.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import numpy as np


@dataclasses.dataclass
class Instance:
  """One environment with its current observation and pose.

  Attributes:
    env: follows Gymnasium's protocol.
    obs: flat observation ``[O]``.
    pose: positions for a renderer ``[Q]``.
  """

  env: Any
  obs: np.ndarray
  pose: np.ndarray


class Pool:
  """Instances by token.

  Attributes:
    limit: largest number of instances in use.
  """

  def __init__(self, limit: int):
    self.limit = limit
    self._used: OrderedDict[bytes, Instance] = OrderedDict()
    self._free: list[Instance] = []

  def put(self, token: bytes, instance: Instance) -> None:
    """Stores an instance that is in the state ``token``."""
    self.release(token)
    self._used[token] = instance

  def get(self, token: bytes) -> Instance | None:
    """Returns the instance in the state ``token`` and keeps it in the pool."""
    if token in self._used:
      self._used.move_to_end(token)
    return self._used.get(token)

  def pop(self, token: bytes) -> Instance | None:
    """Removes and returns the instance in the state ``token``, ``None`` if there is none."""
    return self._used.pop(token, None)

  def acquire(self) -> Instance | None:
    """Removes and returns an instance to reset; ``None``: a new one may be made."""
    if self._free:
      return self._free.pop()
    return self._used.popitem(last=False)[1] if len(self._used) >= self.limit else None

  def free(self, instance: Instance) -> None:
    """Returns an instance whose state is no longer needed to the pool."""
    self._free.append(instance)

  def release(self, token: bytes) -> None:
    """Frees the instance in the state ``token``, if there is one."""
    if token in self._used:
      self.free(self._used.pop(token))

  def clear(self) -> list[Instance]:
    """Removes and returns all instances."""
    instances = [*self._used.values(), *self._free]
    self._used.clear()
    self._free.clear()
    return instances
