"""Tells how much memory there is, and refuses what can never fit into it.

Only the standard library is imported: workers of the benchmark may run without jax.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what the process' control group may take."""


def total_bytes() -> float:
  """Returns the memory that a process may take at most; infinite where nothing says."""
  found = [float("inf")]
  with contextlib.suppress(AttributeError, OSError, ValueError):
    found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
  with contextlib.suppress(OSError, ValueError):
    found.append(int((GROUP / "memory.max").read_text()))
  return min(found)


def check_fits(needed: float, what: str, there_are: float | None = None) -> None:
  """Refuses what needs more memory than there is.

  Args:
    needed: bytes.
    what: needs them, for the message.
    there_are: bytes of an accelerator; ``None``: the machine's.

  Raises:
    MemoryError: it does not fit, however much of the memory is free.
  """
  most = total_bytes() if there_are is None else there_are
  if needed > most:
    raise MemoryError(f"{what} needs {_say(needed)} and there are {_say(most)}")


def _say(count: float) -> str:
  return f"{count / 1e9:,.{0 if count > 1e10 else 2}f} GB"
