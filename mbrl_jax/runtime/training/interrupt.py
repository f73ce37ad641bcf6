"""Turns signals into a wish to stop that a loop can ask about, and ends with a parent."""

from __future__ import annotations

import os
import signal
import stat
import threading
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENDS_WITH_STDIN = "MBRL_JAX_ENDS_WITH_STDIN"
"""Variable that a parent sets which holds the other end of its child's standard input."""


class Interrupt:
  """A context in which the first SIGTERM, SIGINT or SIGHUP is only noted.

  A second one acts as if nobody had listened. SIGHUP stays ignored where it is, as under
  nohup. Outside the main thread, where Python takes no handlers, the context does nothing.
  """

  def __init__(self) -> None:
    """Has not seen a signal."""
    self.signal: signal.Signals | None = None
    self._before: dict[signal.Signals, object] = {}

  def __enter__(self) -> Self:
    if threading.current_thread() is threading.main_thread():
      self._before = {s: signal.signal(s, self._note) for s in SIGNALS if not _nohup(s)}
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
    if number == signal.SIGHUP:
      _leave_terminal()
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}


def end_with_parent() -> None:
  """Sends this process SIGTERM when its parent ends, if that has asked for it.

  The parent holds the other end of the standard input, which ends with it however it ends.
  """
  if os.environ.pop(ENDS_WITH_STDIN, None):  # not for this process' own children
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
  while os.read(0, 1024):
    pass
  os.kill(os.getpid(), signal.SIGTERM)


def _nohup(number: signal.Signals) -> bool:
  return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _leave_terminal() -> None:
  """Turns to nowhere what would go to a terminal that is gone, where writing fails."""
  nowhere = os.open(os.devnull, os.O_RDWR)
  for descriptor in (1, 2):
    if stat.S_ISCHR(os.fstat(descriptor).st_mode):
      os.dup2(nowhere, descriptor)
  os.close(nowhere)
