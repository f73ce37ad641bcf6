"""Keeps the instances of an environment that lives on the host.

An instance is found by the token of the state that it is in. Those that nobody asks for
any more are given to others, the longest unused first.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import numpy as np


@dataclasses.dataclass
class Instance:
  """One environment and what it shows in the state that it is in.

  Attributes:
    env: follows Gymnasium's protocol.
    obs: flat observation ``[O]``.
    pose: what a renderer needs ``[Q]``.
  """

  env: Any
  obs: np.ndarray
  pose: np.ndarray


class Pool:
  """Instances by token.

  Attributes:
    limit: instances to keep at most.
  """

  def __init__(self, limit: int):
    self.limit = limit
    self._used: OrderedDict[bytes, Instance] = OrderedDict()
    self._free: list[Instance] = []

  def keep(self, token: bytes, instance: Instance) -> None:
    """Keeps an instance that is in the state ``token``."""
    self.release(token)
    self._used[token] = instance

  def look(self, token: bytes) -> Instance | None:
    """Returns the instance in the state ``token``, which stays there."""
    if token in self._used:
      self._used.move_to_end(token)
    return self._used.get(token)

  def take(self, token: bytes) -> Instance | None:
    """Hands over the instance in the state ``token``, ``None`` if there is none."""
    return self._used.pop(token, None)

  def spare(self) -> Instance | None:
    """Hands over an instance to begin anew with; ``None``: there may be one more."""
    if self._free:
      return self._free.pop()
    return self._used.popitem(last=False)[1] if len(self._used) >= self.limit else None

  def free(self, instance: Instance) -> None:
    """Takes back an instance whose state nobody will ask for."""
    self._free.append(instance)

  def release(self, token: bytes) -> None:
    """Frees the instance in the state ``token``, if there is one."""
    if token in self._used:
      self.free(self._used.pop(token))

  def clear(self) -> list[Instance]:
    """Hands over all instances."""
    instances = [*self._used.values(), *self._free]
    self._used.clear()
    self._free.clear()
    return instances
