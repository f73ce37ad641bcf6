"""Runs a worker module in a process of its own and asks it to do jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.benchmark.peers.sizes import Sizes

ROOT = Path(__file__).resolve().parents[3]

ENVIRONMENT = {
  # Several workers share one accelerator: none may take three quarters of its memory at once.
  "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
  "TF_CPP_MIN_LOG_LEVEL": "3",  # where memory runs out, XLA writes pages about it
}
"""Variables that a worker gets unless they are set."""

_GLANCE = 0.2  # seconds between two looks at whether to stop waiting


class WorkerError(RuntimeError):
  """Tells that a worker could not do its job."""


class WorkerTimeout(WorkerError):
  """Tells that a worker took too long; it has been ended."""


class WorkerDied(WorkerError):
  """Tells that a worker's process ended by itself."""


class Interrupted(WorkerError):
  """Tells that the wait for a worker was given up; it has been ended."""


class Worker:
  """Runs a worker module in its own process; a context manager."""

  def __init__(
    self,
    module: str,
    python: str = sys.executable,
    *,
    devices: int = 1,
    stop: Callable[[], object] = lambda: False,
  ):
    """Starts ``python -m module`` in the root of the checkout.

    Args:
      module: what to run.
      python: with which interpreter.
      devices: devices that the CPU pretends to be, where jax computes on it.
      stop: asked while waiting for an answer; true ends the worker.

    Raises:
      WorkerError: there is no such interpreter.
    """
    self.module, self._stop = module, stop
    self._said = tempfile.TemporaryFile()  # noqa: SIM115
    try:
      self._process = subprocess.Popen(
        [python, "-m", module],
        cwd=ROOT,
        env=_environment(os.environ, devices),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._said,
        text=True,
        errors="replace",
        # A Ctrl-C is for the benchmark, which then ends its workers.
        start_new_session=True,
      )
    except OSError as error:
      self._said.close()
      raise WorkerError(f"{python} cannot be started: {error.strerror}.") from error

  def ask(self, job: str, timeout: float | None = None, **arguments: Any) -> dict[str, Any]:
    """Does one job and returns its answer.

    Args:
      job: its name.
      timeout: seconds after which the worker is ended.
      **arguments: of the job.

    Raises:
      WorkerError: the worker answered with an error.
      WorkerDied: it ended without an answer.
      WorkerTimeout: it took longer than ``timeout``.
      Interrupted: ``stop()`` was true.
    """
    if isinstance(arguments.get("sizes"), Sizes):
      arguments["sizes"] = dataclasses.asdict(arguments["sizes"])
    try:
      self._process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
      self._process.stdin.flush()
      self._wait(job, timeout)
      line = self._read(timeout)
    except BrokenPipeError:
      line = ""
    if not line:
      status = f"{self.module} ended with exit status {self._process.wait()}"
      raise WorkerDied(f"{status}{self._last_words()}")
    try:
      answer = json.loads(line)
    except ValueError:
      answer = None
    if not isinstance(answer, dict):
      raise WorkerError(f"{self.module}, job {job!r}: {line.strip()[:200]!r} is no answer.")
    if "error" in answer:
      raise WorkerError(f"{self.module}, job {job!r}: {answer['error']}")
    return answer

  def _read(self, timeout: float | None) -> str:
    """Reads a line; a worker that does not end it in time is ended."""
    limit = threading.TIMEOUT_MAX if timeout is None else timeout
    timer = threading.Timer(limit, self._kill)
    timer.daemon = True
    timer.start()
    try:
      return self._process.stdout.readline()
    finally:
      timer.cancel()

  def _kill(self) -> None:
    """Ends the worker and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)

  def _last_words(self) -> str:
    """Returns the last line of what the worker has written beside its answers."""
    self._said.seek(0)
    lines = self._said.read().decode(errors="replace").split("\n")
    found = [line.strip() for line in lines if line.strip()]
    return f": {found[-1][:400]}" if found else ""

  def _wait(self, job: str, timeout: float | None) -> None:
    """Waits until there is an answer to read, or the pipe has been closed."""
    end = float("inf") if timeout is None else time.monotonic() + timeout
    while not select.select([self._process.stdout], [], [], _GLANCE)[0]:
      if self._stop():
        self._kill()
        raise Interrupted(f"{self.module}, job {job!r}: interrupted")
      if time.monotonic() > end:
        self._kill()
        raise WorkerTimeout(f"{self.module}, job {job!r}: no answer within {timeout:.0f} s")

  def __enter__(self) -> Worker:
    """Returns the running worker."""
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
    """Ends the worker by closing its input; kills it if it is busy."""
    if kind is not None:
      self._kill()
    with contextlib.suppress(BrokenPipeError):  # what a dead worker did not read
      self._process.stdin.close()
    try:
      self._process.wait(timeout=10)
    except subprocess.TimeoutExpired:
      self._kill()
      self._process.wait()
    self._process.stdout.close()
    self._said.close()


def _environment(given: Mapping[str, str], devices: int) -> dict[str, str]:
  """Returns the variables of a worker that is to see ``devices``."""
  environment = {**ENVIRONMENT, **given}
  if devices > 1:
    flag = f"--xla_force_host_platform_device_count={devices}"
    environment["XLA_FLAGS"] = f"{given.get('XLA_FLAGS', '')} {flag}".strip()
  return environment
