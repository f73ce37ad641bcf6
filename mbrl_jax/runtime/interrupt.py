"""Turns SIGTERM and SIGINT into a wish to stop that a loop can ask about."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupt:
  """A context in which the first SIGTERM or SIGINT is only noted.

  A second one acts as if nobody had listened. Outside the main thread, where
  Python takes no handlers, the context does nothing.
  """

  def __init__(self) -> None:
    """Has not seen a signal."""
    self.signal: signal.Signals | None = None
    self._before: dict[signal.Signals, object] = {}

  def __enter__(self) -> Self:
    if threading.current_thread() is threading.main_thread():
      self._before = {s: signal.signal(s, self._note) for s in SIGNALS}
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._restore()

  def __bool__(self) -> bool:
    return self.signal is not None

  def _note(self, number: int, frame: FrameType | None) -> None:
    self.signal = signal.Signals(number)
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}
