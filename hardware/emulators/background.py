"""Serves an emulated device on a thread of its own."""

from __future__ import annotations

import abc
import threading
from types import TracebackType
from typing import Self


class Background(abc.ABC):
  """A device that a thread serves; start it by ``with`` or ``start``."""

  def __init__(self) -> None:
    self._stopping = threading.Event()
    self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

  def start(self) -> Self:
    """Starts the thread; returns itself."""
    self._thread.start()
    return self

  def stop(self) -> None:
    """Ends the thread and closes bus, port or socket; may be called again."""
    self._stopping.set()
    if self._thread.is_alive():
      self._thread.join()
    self._close()

  def __enter__(self) -> Self:
    return self.start()

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.stop()

  @abc.abstractmethod
  def _run(self) -> None:
    """Serves until ``_stopping`` is set; waits for nothing longer than a moment."""

  @abc.abstractmethod
  def _close(self) -> None:
    """Closes what carries the bytes; may be called again."""
