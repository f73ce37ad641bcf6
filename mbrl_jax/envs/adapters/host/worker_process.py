"""A worker process as its parent sees it: started, told what to do, and surely ended.

Not ``multiprocessing``: its processes run the program's main module once more, and import all
that it imports. This one is in a process group of its own, so that Ctrl-C in a terminal, which
goes to a whole group, leaves the decision to the parent; and what an environment has started
can be ended with it.
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

from mbrl_jax.envs.adapters.host.worker_server import GRACE, MAKING, WorkerSetup, receive, send
from mbrl_jax.ops.env_failure import EnvironmentFailed, failed

_PROGRAM = Path(__file__).with_name("worker_main.py")


class WorkerProcess:
  """One worker process, started by the constructor.

  Attributes:
    name: of the environment, for messages.
    number: of the process, from 1 on.
  """

  def __init__(self, number: int, setup: WorkerSetup):
    """Starts it; the answer to be received first is that it is ready.

    Raises:
      OSError: the system gives none.
    """
    self.name, self.number, self._timeout = setup.settings["name"], number, setup.timeout
    self._connection, theirs = Pipe()
    life, self._life = Pipe(duplex=False)
    descriptors = theirs.fileno(), life.fileno()
    with theirs, life:
      # -P: the folder of the program must not shadow modules of the standard library
      self._process = subprocess.Popen(
        [sys.executable, "-P", str(_PROGRAM), *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        process_group=0,
      )
    self._doing, self._ready = MAKING, False
    where = {"where": f", worker {number}"}
    with contextlib.suppress(OSError):  # what it died of is told when it is to answer
      self._connection.send(sys.path)
      send(self._connection, (setup.make, setup.timeout, setup.settings | where))

  def ask(self, job: str, *arguments: Any) -> None:
    """Tells what to do; the answer must be received before the next one."""
    self._doing = job
    with contextlib.suppress(OSError):
      send(self._connection, (job, arguments))

  def answer(self, limit: float | None = None) -> Any:
    """Returns the answer.

    Args:
      limit: seconds to wait for it; ``None``: for ever.

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
      raise failed(self._fate()) from None
    self.end(0.0)
    raise failed(f"{self.name} did not answer within {limit:g} s ({self._where}).")

  @property
  def alive(self) -> bool:
    """Whether it can be asked."""
    return self._process.poll() is None and not self._life.closed

  def dismiss(self) -> None:
    """Lets it close its instances and end; returns at once."""
    self._life.close()

  def end(self, grace: float = GRACE) -> None:
    """Sees to it that it has ended, and what it has started with it."""
    self.dismiss()
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(grace)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left
      os.killpg(self._process.pid, signal.SIGKILL)
    self._process.wait()

  @property
  def _where(self) -> str:
    return f"{self._doing}, worker {self.number}"

  def _fate(self) -> str:
    """Says of what the process died."""
    self.end(GRACE)
    code = self._process.returncode
    if code == -signal.SIGALRM and self._timeout is not None:
      return f"{self.name} did not answer within {self._timeout:g} s ({self._where})."
    if code >= 0:
      return f"{self.name} ended its process with exit code {code} ({self._where})."
    hint = ", as a system does that is out of memory" if code == -signal.SIGKILL else ""
    name = signal.Signals(-code).name
    return f"{self.name}'s process was killed by {name} ({self._where}){hint}."


class _Finder(pickle.Unpickler):
  """Loads what another process could load."""

  def find_class(self, module: str, name: str) -> Any:
    """Returns ``module.name`` if an import would find the module."""
    top = module.partition(".")[0]
    if not any(finder.find_spec(top, None) for finder in sys.meta_path):
      raise ValueError(f"no import finds {module}")
    return super().find_class(module, name)


def pack(make: Callable[[], Any]) -> bytes:
  """Pickles a function for another process.

  Raises:
    ValueError: it cannot be used there; says why.
  """
  try:
    packed = pickle.dumps(make)
    if b"__main__" in packed:  # there, that is another program
      raise ValueError("it is of the main program")
    _Finder(io.BytesIO(packed)).load()
  except Exception as error:
    raise ValueError(str(error)) from error
  return packed
