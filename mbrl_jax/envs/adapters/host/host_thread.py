"""Runs all calls to an environment in one dedicated thread, with a timeout.

Compiled code calls back from XLA's threads, a different one each time, but many environments
must be used by the thread that made them; and a hang can only be detected from another thread.
The thread is a daemon: one that hangs does not keep the program from ending. It cannot be
stopped, however, and one that never releases Python's global lock stops the program too.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any


class HostTimeout(Exception):
  """The thread did not answer in time; the argument is the timeout in seconds."""


class HostExit(Exception):
  """A function tried to end the thread or the program; the cause is what it raised.

  Ctrl-C in the caller's own thread stays ``KeyboardInterrupt``.
  """


def call_directly(operation: str, function: Callable[[], Any]) -> Any:
  """Returns ``function()``, called in this thread; ``operation`` is unused.

  Raises:
    HostExit: the function raised SystemExit, KeyboardInterrupt or the like.
    Exception: any other exception of the function.
  """
  del operation
  try:
    return function()
  except Exception:
    raise
  except BaseException as error:
    raise HostExit from error


class HostThread:
  """Runs functions one after the other in one thread.

  Attributes:
    timeout: seconds to wait for a result; ``None``: no limit.
  """

  def __init__(self, timeout: float | None = None):
    self.timeout = timeout
    self._start()

  def call(self, function: Callable, *arguments: Any, **keywords: Any) -> Any:
    """Returns ``function(*arguments, **keywords)``.

    Raises:
      HostTimeout: it took longer than ``timeout``; the next call gets a new thread.
      HostExit: the function raised SystemExit, KeyboardInterrupt or the like.
      Exception: any other exception of the function.
    """
    answer: queue.SimpleQueue = queue.SimpleQueue()
    self._tasks.put((function, arguments, keywords, answer))
    try:
      value, error = answer.get(timeout=self.timeout)
    except queue.Empty:
      self._start()
      raise HostTimeout(self.timeout) from None
    if error is not None and not isinstance(error, Exception):
      raise HostExit from error
    if error is not None:
      raise error
    return value

  def _start(self) -> None:
    """Starts a thread that ends with this object."""
    self._tasks: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_work, args=(self._tasks,), daemon=True).start()
    weakref.finalize(self, self._tasks.put, None).atexit = False


def _work(tasks: queue.SimpleQueue) -> None:
  """Runs tasks until ``None`` arrives."""
  while (task := tasks.get()) is not None:
    function, arguments, keywords, answer = task
    try:
      answer.put((function(*arguments, **keywords), None))
    except BaseException as error:
      answer.put((None, error))
    del task, function, arguments, keywords, answer
