"""Serves a worker process: keeps instances of an environment and steps them on request.

Each control step exchanges one message pair over a connection, for all rows together. A second
connection carries no messages; it closes when the parent ends, however it ends.

The instances live in the main thread, which some libraries require. A system alarm ends the
process if one hangs, even in C code that holds Python's global lock.
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

from mbrl_jax.envs.adapters.host.host import CONSTRUCTION, Host
from mbrl_jax.envs.adapters.host.host_thread import call_directly
from mbrl_jax.envs.adapters.host.step_data import InputBatch
from mbrl_jax.ops.env_failure import EnvironmentFailed

GRACE_PERIOD = 5.0
"""Seconds that a process has to close its instances before it is killed."""


class WorkerSetup(NamedTuple):
  """The first message to a worker.

  Attributes:
    make: pickled function that makes an instance.
    timeout: seconds that an instance may take to answer; ``None``: no limit.
    settings: the other arguments of ``Host``.
  """

  make: bytes
  timeout: float | None
  settings: dict[str, Any]


def send(connection: Connection, message: Any) -> None:
  """Sends a message.

  Raises:
    OSError: the other end is closed.
  """
  connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def receive(connection: Connection) -> Any:
  """Returns the next message.

  Raises:
    EOFError, OSError: the other end is closed.
  """
  return pickle.loads(connection.recv_bytes())


def serve(connection: Connection, life: Connection) -> None:
  """Serves until the parent closes the connection or ends.

  Args:
    connection: receives a ``WorkerSetup``, then ``(job, arguments)``; sends
      ``("done", result)``, ``("failed", message)`` and, before these, ``("doing", operation)``
      where the operation is another one than the job.
    life: closed by the parent.
  """
  for end in (connection, life):  # simulators that an environment starts must not inherit them
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
      call.operation = "close"  # so that no message is sent any more
      with contextlib.suppress(EnvironmentFailed):
        host.close()


def run_job(host: Host, job: str, arguments: tuple[Any, ...]) -> Any:
  """Runs a job, ``reset``, ``step`` or ``close``, and returns its result.

  Results are tuples and arrays only, which unpickle without any module of this package.
  """
  if job != "step":
    return getattr(host, job)(*arguments)
  outputs, missing = host.step(InputBatch(*arguments))
  return tuple(outputs), missing


class _Caller:
  """Calls functions of the environment, each with the time limit.

  Attributes:
    operation: the one that the parent was last informed of.
  """

  def __init__(self, connection: Connection, timeout: float | None):
    self._connection, self._timeout, self.operation = connection, timeout, CONSTRUCTION

  def __call__(self, operation: str, function: Callable[[], Any]) -> Any:
    if operation != self.operation:
      self.operation = operation
      send(self._connection, ("doing", operation))
    if self._timeout is not None:
      signal.setitimer(signal.ITIMER_REAL, self._timeout)
    return call_directly(operation, function)

  def cancel_alarm(self) -> None:
    """Removes the time limit until the next call."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _make_host(setup: WorkerSetup, call: _Caller) -> Host:
  """Makes the host from the first message."""
  try:
    make = pickle.loads(setup.make)
  except Exception as error:
    raise EnvironmentFailed(
      f"{setup.settings['name']} cannot be imported in a worker process "
      f"({type(error).__name__}: {error}): workers=0 steps it in this one."
    ) from error
  return Host(make=make, call=call, **setup.settings)


def _work(connection: Connection, host: Host, call: _Caller) -> None:
  """Runs jobs until the connection closes."""
  while True:
    call.cancel_alarm()
    call.operation, arguments = receive(connection)
    try:
      answer = "done", run_job(host, call.operation, arguments)
    except EnvironmentFailed as error:
      answer = "failed", str(error)
    send(connection, answer)


def _end_with_parent(life: Connection, connection: Connection) -> None:
  """Ends the process and all that it has started, soon after the parent has ended."""
  with contextlib.suppress(EOFError, OSError):
    life.recv_bytes()
  with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
    end.shutdown(socket.SHUT_RDWR)  # unblocks a pending receive
  threading.Event().wait(GRACE_PERIOD)
  os.killpg(0, signal.SIGKILL)
