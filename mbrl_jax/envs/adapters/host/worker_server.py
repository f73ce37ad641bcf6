"""What a worker process does: it keeps instances of somebody else's environment and steps them.

One message for all rows of a control step comes by a connection, and one goes back. A second
connection, by which nothing comes, closes when the parent ends, however it ends.

The instances live in the main thread, which some libraries insist on. An alarm of the system
ends the process where one hangs, even in C code that keeps Python's global lock.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from mbrl_jax.envs.adapters.host.host import Host, Row
from mbrl_jax.envs.adapters.host.host_thread import call_here
from mbrl_jax.ops.env_failure import EnvironmentFailed

GRACE = 5.0
"""Seconds that a process which is to end has for closing its instances."""
MAKING = "being made"


class WorkerSetup(NamedTuple):
  """The first message.

  Attributes:
    make: pickled, makes an instance.
    timeout: seconds that an instance may take to answer, or ``None``.
    settings: the other arguments of ``Host``.
  """

  make: bytes
  timeout: float | None
  settings: dict[str, Any]


def send(connection: Connection, message: Any) -> None:
  """Sends a message.

  Raises:
    OSError: there is nobody at the other end.
  """
  connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def receive(connection: Connection) -> Any:
  """Returns the next message.

  Raises:
    EOFError, OSError: there is nobody at the other end.
  """
  return pickle.loads(connection.recv_bytes())


def serve(connection: Connection, life: Connection) -> None:
  """Serves until the parent has ended, or wants no more.

  Args:
    connection: brings a ``WorkerSetup``, then ``(job, arguments)``; takes ``("done", result)``,
      ``("failed", sentence)`` and, before these, ``("doing", what)`` where that is something
      else than the job.
    life: is closed by the parent.
  """
  for end in (connection, life):  # not for simulators that an environment starts
    os.set_inheritable(end.fileno(), False)
  threading.Thread(target=_end_with_parent, args=(life, connection), daemon=True).start()
  with contextlib.suppress(EOFError, ConnectionError):
    setup = WorkerSetup(*receive(connection))
    call = _Caller(connection, setup.timeout)
    try:
      host = _make_host(setup, call)
    except EnvironmentFailed as error:
      send(connection, ("failed", str(error)))
      return
    send(connection, ("done", None))
    try:
      _work(connection, host, call)
    finally:
      call.doing = "close"  # nobody is to be told any more
      with contextlib.suppress(EnvironmentFailed):
        host.close()


def carry_out(host: Host, job: str, arguments: tuple[Any, ...]) -> Any:
  """Returns what ``host`` answers to a job: ``reset``, ``step`` or ``close``.

  Nothing but tuples and arrays, which need no module of ours where they arrive.
  """
  if job != "step":
    return getattr(host, job)(*arguments)
  stepped, missing = host.step(Row(*arguments))
  return tuple(stepped), missing


class _Caller:
  """Calls functions of the environment.

  Attributes:
    doing: what the parent believes to be under way.
  """

  def __init__(self, connection: Connection, timeout: float | None):
    self._connection, self._timeout, self.doing = connection, timeout, MAKING

  def __call__(self, what: str, function: Callable[[], Any]) -> Any:
    if what != self.doing:
      self.doing = what
      send(self._connection, ("doing", what))
    if self._timeout is not None:
      signal.setitimer(signal.ITIMER_REAL, self._timeout)
    return call_here(what, function)

  def rest(self) -> None:
    """Sets no limit until the next call."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _make_host(setup: WorkerSetup, call: _Caller) -> Host:
  try:
    make = pickle.loads(setup.make)
  except Exception as error:
    raise EnvironmentFailed(
      f"{setup.settings['name']} cannot be made in a worker process, which does not find it "
      f"({type(error).__name__}: {error}): workers=0 keeps it in this one."
    ) from error
  return Host(make=make, call=call, **setup.settings)


def _work(connection: Connection, host: Host, call: _Caller) -> None:
  """Does one job after the other."""
  while True:
    call.rest()
    call.doing, arguments = receive(connection)
    try:
      answer = "done", carry_out(host, call.doing, arguments)
    except EnvironmentFailed as error:
      answer = "failed", str(error)
    send(connection, answer)


def _end_with_parent(life: Connection, connection: Connection) -> None:
  """Ends the process, and what it has started, soon after the parent."""
  with contextlib.suppress(EOFError, OSError):
    life.recv_bytes()
  with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
    end.shutdown(socket.SHUT_RDWR)  # who waits there for a message gets no more
  threading.Event().wait(GRACE)
  os.killpg(0, signal.SIGKILL)
