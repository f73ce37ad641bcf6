"""Turns signals into a stop request that a loop can check, and ends a child with its parent."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENDS_WITH_STDIN = "MBRL_JAX_ENDS_WITH_STDIN"
"""Variable that a parent sets which holds the other end of its child's standard input."""

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class Interrupt:
  """Context that catches the first SIGTERM, SIGINT or SIGHUP and stores it in ``signal``.

  The second one has its usual effect. SIGHUP stays ignored where it already is, as under
  nohup. Outside the main thread, where Python installs no handlers, the context does nothing.
  """

  def __init__(self) -> None:
    """Starts without a signal."""
    self.signal: signal.Signals | None = None
    self._previous: dict[signal.Signals, Handler] = {}

  def __enter__(self) -> Self:
    if threading.current_thread() is threading.main_thread():
      self._previous = {s: signal.signal(s, self._handle) for s in SIGNALS if not _nohup(s)}
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

  def _handle(self, number: int, frame: FrameType | None) -> None:
    self.signal = signal.Signals(number)
    if number == signal.SIGHUP:
      _redirect_terminal()
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    self._previous = {}


def end_with_parent() -> None:
  """Sends this process SIGTERM when its parent ends, if ``ENDS_WITH_STDIN`` is set.

  The parent holds the other end of the standard input, which closes however the parent ends.
  """
  if os.environ.pop(ENDS_WITH_STDIN, None):  # not for this process' own children
    threading.Thread(target=_terminate_at_eof, daemon=True).start()


def _terminate_at_eof() -> None:
  while os.read(0, 1024):
    pass
  os.kill(os.getpid(), signal.SIGTERM)


def _nohup(number: signal.Signals) -> bool:
  return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _redirect_terminal() -> None:
  """Redirects terminal output to the null device: writing to a closed terminal fails."""
  null = os.open(os.devnull, os.O_RDWR)
  for descriptor in (1, 2):
    if stat.S_ISCHR(os.fstat(descriptor).st_mode):
      os.dup2(null, descriptor)
  os.close(null)
