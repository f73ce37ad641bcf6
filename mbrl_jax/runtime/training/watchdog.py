"""Warns when a compiled call takes so long that it may hang."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from mbrl_jax.runtime.training.progress import duration


class Watchdog:
  """Warns of calls that take much longer than the calls before them.

  It does not end a call: code that hangs in a compiled program cannot be interrupted.
  """

  def __init__(
    self, warn: Callable[[str], None], patience: float = 600.0, factor: float = 20.0
  ):
    """Sets the limits.

    Args:
      warn: called with the message, from another thread.
      patience: seconds that any call may take.
      factor: multiple of the longest earlier call that a call may take.
    """
    self._warn, self._patience, self._factor = warn, patience, factor
    self._longest = 0.0

  @contextlib.contextmanager
  def watch(self) -> Iterator[None]:
    """Warns once if the body takes too long."""
    limit = max(self._patience, self._factor * self._longest)
    timer = threading.Timer(limit, self._expire, (limit,))
    timer.daemon = True
    start = time.perf_counter()
    timer.start()
    try:
      yield
    finally:
      timer.cancel()
    self._longest = max(self._longest, time.perf_counter() - start)

  def _expire(self, limit: float) -> None:
    before = f"; the longest before it took {duration(self._longest)}" * (self._longest > 0)
    self._warn(
      f"warning: a compiled call has been running for {duration(limit)}{before}. If it hangs, "
      "end the process with SIGKILL and resume from the newest checkpoint."
    )
