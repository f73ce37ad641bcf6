"""Reports the memory limit, and rejects what exceeds it.

Only the standard library is imported: workers of the benchmark may run without jax.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Folder with the limits of the process' Linux control group."""


def total_bytes() -> float:
  """Returns the memory limit of this process; infinite if the system reports none."""
  limits = [float("inf")]
  with contextlib.suppress(AttributeError, OSError, ValueError):
    limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
  with contextlib.suppress(OSError, ValueError):
    limits.append(int((CGROUP / "memory.max").read_text()))
  return min(limits)


def check_fits(needed: float, what: str, available: float | None = None) -> None:
  """Checks that an allocation is within the memory limit.

  Args:
    needed: bytes.
    what: name of the allocation, for the message.
    available: bytes of an accelerator; ``None``: of the machine.

  Raises:
    MemoryError: it exceeds the total memory, free or not.

  Example:
    >>> check_fits(2e10, "the buffer", available=8e9)
    Traceback (most recent call last):
    MemoryError: the buffer needs 20 GB, but the limit is 8.00 GB
  """
  limit = total_bytes() if available is None else available
  if needed > limit:
    raise MemoryError(
      f"{what} needs {_format_bytes(needed)}, but the limit is {_format_bytes(limit)}"
    )


def _format_bytes(count: float) -> str:
  return f"{count / 1e9:,.{0 if count > 1e10 else 2}f} GB"
