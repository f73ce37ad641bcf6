"""The most that this machine can do, of which fractions are quoted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from experiments.benchmark.peers.peak import Peak
from experiments.benchmark.peers.worker import Worker

OURS = "experiments.benchmark.peers.ours_device"


class Ceiling:
  """Peak rates; a context manager.

  On CPUs the float32 peak of all cores, whatever the precision, measured anew each time.
  Elsewhere a large matrix product of each precision, measured once, before anybody else
  holds the device: some can be held by one process only.

  Attributes:
    device: ``platform``, ``kind`` and ``count`` of what jax computes on.
  """

  def __init__(self, dtypes: Iterable[str], stop: Callable[[], object] = lambda: False):
    """Looks what there is, and measures it where it is no CPU."""
    self._peak: Peak | None = None
    with Worker(OURS, stop=stop) as worker:
      self.device: dict[str, Any] = worker.ask("devices")
      if self.device["platform"] == "cpu":
        self._peak = Peak()
        return
      flops = {dtype: worker.ask("matmul", dtype=dtype)["flops"] for dtype in dtypes}
      self._flops: dict[str, float] = flops

  def name(self, dtype: str) -> str:
    """Says whose peak ``measure(dtype)`` is: a precision's, or float32's for all."""
    return "float32" if self._peak else dtype

  @property
  def source(self) -> str:
    """Says how it is measured."""
    return self._peak.source if self._peak else "large matrix product, one device"

  def measure(self, dtype: str, devices: int = 1) -> float:
    """Returns operations per second; those of a CPU's parts are those of the CPU."""
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
    """Removes what the measurement of a CPU needs."""
    if self._peak:
      self._peak.__exit__(kind, error, trace)
