"""Measures the peak arithmetic rates of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from experiments.benchmark.peers.peak import Peak
from experiments.benchmark.peers.worker import Worker

WORKER = "experiments.benchmark.peers.ours_device"


class Ceiling:
  """Peak rates of the device by precision; a context manager.

  On CPUs: the float32 peak of all cores for every precision, measured at each call. Elsewhere:
  a large matrix product in each precision, measured once at construction, because some devices
  can be held by only one process at a time.

  Attributes:
    device: ``platform``, ``kind`` and ``count`` of jax's devices.
  """

  def __init__(self, dtypes: Iterable[str], stop: Callable[[], object] = lambda: False):
    """Finds the devices and, unless they are CPUs, measures their peaks."""
    self._peak: Peak | None = None
    with Worker(WORKER, stop=stop) as worker:
      self.device: dict[str, Any] = worker.call("devices")
      if self.device["platform"] == "cpu":
        self._peak = Peak()
        return
      flops = {dtype: worker.call("matmul", dtype=dtype)["flops"] for dtype in dtypes}
      self._flops: dict[str, float] = flops

  def name(self, dtype: str) -> str:
    """Returns the precision whose peak ``measure(dtype)`` returns: float32 on CPUs."""
    return "float32" if self._peak else dtype

  @property
  def source(self) -> str:
    """Describes the measurement."""
    return self._peak.source if self._peak else "large matrix product, one device"

  def measure(self, dtype: str, devices: int = 1) -> float:
    """Returns operations per second of ``devices`` devices; on CPUs, of all cores."""
    return self._peak.measure() if self._peak else self._flops[dtype] * devices

  def __enter__(self) -> Ceiling:
    """Returns itself."""
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    """Removes the scratch files of the CPU measurement."""
    if self._peak:
      self._peak.__exit__(kind, error, trace)
