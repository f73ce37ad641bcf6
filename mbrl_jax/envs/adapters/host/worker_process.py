"""Controls a worker process from its parent: starts it, sends it jobs and ends it.

Not ``multiprocessing``: its processes run the program's main module again, with everything that
it imports. A worker has its own process group, so that Ctrl-C in a terminal, which is sent to
the whole group, reaches the parent only; and the processes that an environment has started can
be ended together with the worker.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from mbrl_jax.envs.adapters.host.host import CONSTRUCTION
from mbrl_jax.envs.adapters.host.worker_server import GRACE_PERIOD, WorkerSetup, receive, send
from mbrl_jax.ops.env_failure import EnvironmentFailed, environment_error

_PROGRAM = Path(__file__).with_name("worker_main.py")


class WorkerProcess:
  """One worker process, started by the constructor.

  Attributes:
    name: of the environment, for messages.
    number: of the process, from 1 on.
  """

  def __init__(self, number: int, setup: WorkerSetup):
    """Starts the process; its first answer reports that it is ready.

    Raises:
      OSError: the system cannot start one.
    """
    self.name, self.number, self._timeout = setup.settings["name"], number, setup.timeout
    self._connection, worker_end = Pipe()
    life, self._life = Pipe(duplex=False)
    descriptors = worker_end.fileno(), life.fileno()
    with worker_end, life:
      # -P: the program's folder must not shadow modules of the standard library
      self._process = subprocess.Popen(
        [sys.executable, "-P", str(_PROGRAM), *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        process_group=0,
      )
    self._doing, self._ready = CONSTRUCTION, False
    where = {"where": f", worker {number}"}
    with contextlib.suppress(OSError):  # ``answer`` reports why it died
      self._connection.send(sys.path)
      send(self._connection, (setup.make, setup.timeout, setup.settings | where))

  def ask(self, job: str, *arguments: Any) -> None:
    """Sends a job; its answer must be received before the next job is sent."""
    self._doing = job
    with contextlib.suppress(OSError):
      send(self._connection, (job, arguments))

  def answer(self, limit: float | None = None) -> Any:
    """Returns the answer.

    Args:
      limit: seconds to wait; ``None``: no limit.

    Raises:
      EnvironmentFailed: the environment or the process failed; see ``alive``.
    """
    try:
      while limit is None or self._connection.poll(limit):
        kind, value = receive(self._connection)
        if kind == "done":
          self._ready = True
          return value
        if kind == "failed":
          if not self._ready:
            self.end()
          raise EnvironmentFailed(value)
        self._doing = value
    except (EOFError, OSError):
      raise environment_error(self._exit_reason()) from None
    self.end(0.0)
    raise environment_error(f"{self.name} did not answer within {limit:g} s ({self._where}).")

  @property
  def alive(self) -> bool:
    """Whether it accepts jobs."""
    return self._process.poll() is None and not self._life.closed

  def request_exit(self) -> None:
    """Tells it to close its instances and exit; does not wait."""
    self._life.close()

  def end(self, grace: float = GRACE_PERIOD) -> None:
    """Ends the process and all that it has started, by force after ``grace`` seconds."""
    self.request_exit()
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(grace)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left
      os.killpg(self._process.pid, signal.SIGKILL)
    self._process.wait()

  @property
  def _where(self) -> str:
    return f"{self._doing}, worker {self.number}"

  def _exit_reason(self) -> str:
    """Ends the process and describes why it died."""
    self.end(GRACE_PERIOD)
    code = self._process.returncode
    if code == -signal.SIGALRM and self._timeout is not None:
      return f"{self.name} did not answer within {self._timeout:g} s ({self._where})."
    if code >= 0:
      return f"{self.name} ended its process with exit code {code} ({self._where})."
    hint = ": is the machine out of memory?" if code == -signal.SIGKILL else "."
    name = signal.Signals(-code).name
    return f"{self.name}'s process was killed by {name} ({self._where}){hint}"


class _ImportableUnpickler(pickle.Unpickler):
  """Unpickles only what another process could import."""

  def find_class(self, module: str, name: str) -> Any:
    """Returns ``module.name`` if an import finds the module."""
    top = module.partition(".")[0]
    if not any(finder.find_spec(top, None) for finder in sys.meta_path):
      raise ValueError(f"no import finds {module}")
    return super().find_class(module, name)


def pack(make: Callable[[], Any]) -> bytes:
  """Pickles a function for another process.

  Raises:
    ValueError: another process cannot use it; gives the reason.
  """
  try:
    packed = pickle.dumps(make)
    if b"__main__" in packed:  # which is another module in a worker
      raise ValueError("it is defined in the main program")
    _ImportableUnpickler(io.BytesIO(packed)).load()
  except Exception as error:
    raise ValueError(str(error)) from error
  return packed
