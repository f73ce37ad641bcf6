"""Says so when a compiled call takes so long that it may hang."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from mbrl_jax.runtime.training.progress import duration


class Watchdog:
  """Watches calls that should take about as long as those before them.

  It does not end a call: what hangs in compiled code can not be ended from within.
  """

  def __init__(self, say: Callable[[str], None], patience: float = 600.0, times: float = 20.0):
    """Watches nothing yet.

    Args:
      say: called, from a thread of its own, with what there is to say.
      patience: seconds that any call may take.
      times: how many times as long as the longest before a call may take.
    """
    self._say, self._patience, self._times = say, patience, times
    self._longest = 0.0

  @contextlib.contextmanager
  def watch(self) -> Iterator[None]:
    """Watches what happens inside; says once that it takes too long."""
    limit = max(self._patience, self._times * self._longest)
    timer = threading.Timer(limit, self._bark, (limit,))
    timer.daemon = True
    start = time.perf_counter()
    timer.start()
    try:
      yield
    finally:
      timer.cancel()
    self._longest = max(self._longest, time.perf_counter() - start)

  def _bark(self, limit: float) -> None:
    before = f"; the longest before it took {duration(self._longest)}" * (self._longest > 0)
    self._say(
      f"warning: a compiled call has been running for {duration(limit)}{before}. If it hangs, "
      "end the process with SIGKILL and resume from the newest checkpoint."
    )
