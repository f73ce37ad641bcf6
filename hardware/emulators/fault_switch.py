"""Faults of emulated devices, switched on and off by name while they run."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from mbrl_jax.ops.validate import ArgumentError, choice


class FaultSwitch:
  """The faults that are on; safe to use from several threads."""

  def __init__(self, names: Iterable[str]) -> None:
    """Args: ``names`` of the faults that a device knows."""
    self.names = tuple(names)
    self._left: dict[tuple[str, int | None], float] = {}
    self._lock = threading.Lock()

  def start(self, name: str, device: int | None = None, count: int | None = None) -> None:
    """Switches a fault on.

    Args:
      name: of the fault.
      device: id of the device that has it; None: all.
      count: number of times it happens; None: until it is stopped.

    Raises:
      ArgumentError: there is no such fault, or ``count`` is not positive.
    """
    choice("fault", name, self.names)
    if count is not None and count < 1:
      raise ArgumentError("count", count, "must be positive.")
    with self._lock:
      self._left[name, device] = float("inf") if count is None else count

  def stop(self, name: str | None = None) -> None:
    """Switches a fault off for all devices.

    Args:
      name: of the fault; None: all of them.

    Raises:
      ArgumentError: there is no such fault.
    """
    if name is not None:
      choice("fault", name, self.names)
    with self._lock:
      self._left = {key: n for key, n in self._left.items() if name not in (None, key[0])}

  def is_on(self, name: str, device: int | None = None) -> bool:
    """Reports whether a device has a fault, without using up its count."""
    with self._lock:
      return any(key in self._left for key in ((name, device), (name, None)))

  def take(self, name: str, device: int | None = None) -> bool:
    """Reports whether a fault happens now to a device, and counts that it did."""
    with self._lock:
      for key in ((name, device), (name, None)):
        if key in self._left:
          self._left[key] -= 1
          if self._left[key] <= 0:
            del self._left[key]
          return True
    return False
