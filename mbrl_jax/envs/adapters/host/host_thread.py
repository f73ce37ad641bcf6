"""A thread of its own for all that one environment does on the host.

Compiled code calls back from threads of XLA, another one each time. Many environments
want to be used by the thread that made them; and only from outside of a thread can
somebody notice that it hangs. The thread is a daemon: one that hangs for ever does not keep
the program from ending. It cannot be stopped, though, and one that never lets go of
Python's global lock stops the program all the same.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any


class Late(Exception):
  """The thread did not answer in time: within how many seconds is the argument."""


class Quit(Exception):
  """A function asked the thread or the program to end: its cause is what it raised.

  That of the caller's thread, Ctrl-C, stays what it is.
  """


def call_here(what: str, function: Callable[[], Any]) -> Any:
  """Returns ``function()``, called in this thread; ``what`` it does is for others to tell.

  Raises:
    Quit: the function raised SystemExit, KeyboardInterrupt or the like.
    Exception: whatever else the function raises.
  """
  del what
  try:
    return function()
  except Exception:
    raise
  except BaseException as error:
    raise Quit from error


class HostThread:
  """Runs functions one after the other in its thread.

  Attributes:
    timeout: seconds to wait for an answer; ``None``: for ever.
  """

  def __init__(self, timeout: float | None = None):
    self.timeout = timeout
    self._start()

  def call(self, function: Callable, *arguments: Any, **keywords: Any) -> Any:
    """Returns ``function(*arguments, **keywords)``.

    Raises:
      Late: it took longer than ``timeout``; the next call gets a new thread.
      Quit: the function raised SystemExit, KeyboardInterrupt or the like.
      Exception: whatever else the function raises.
    """
    answer: queue.SimpleQueue = queue.SimpleQueue()
    self._tasks.put((function, arguments, keywords, answer))
    try:
      value, error = answer.get(timeout=self.timeout)
    except queue.Empty:
      self._start()
      raise Late(self.timeout) from None
    if error is not None and not isinstance(error, Exception):
      raise Quit from error
    if error is not None:
      raise error
    return value

  def _start(self) -> None:
    """Starts a thread that ends with this object."""
    self._tasks: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_work, args=(self._tasks,), daemon=True).start()
    weakref.finalize(self, self._tasks.put, None).atexit = False


def _work(tasks: queue.SimpleQueue) -> None:
  """Does what comes, until ``None`` comes."""
  while (task := tasks.get()) is not None:
    function, arguments, keywords, answer = task
    try:
      answer.put((function(*arguments, **keywords), None))
    except BaseException as error:
      answer.put((None, error))
    del task, function, arguments, keywords, answer
