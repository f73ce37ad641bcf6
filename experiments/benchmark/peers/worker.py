"""Runs a worker module in its own process and sends it jobs."""

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
  # Several workers share one accelerator: none may preallocate three quarters of its memory.
  "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
  "TF_CPP_MIN_LOG_LEVEL": "3",  # silences XLA's long reports when memory runs out
}
"""Environment variables of a worker, unless they are set."""

_POLL_SECONDS = 0.2  # between two checks of ``stop`` and the timeout


class WorkerError(RuntimeError):
  """Raised if a worker could not do its job."""


class WorkerTimeout(WorkerError):
  """Raised if a worker exceeded its timeout; the worker is killed."""


class WorkerDied(WorkerError):
  """Raised if a worker's process ended by itself."""


class Interrupted(WorkerError):
  """Raised if ``stop`` ended the wait for a worker; the worker is killed."""


class Worker:
  """Handle of a worker module in its own process; a context manager."""

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
      module: worker module to run.
      python: path of the interpreter.
      devices: number of jax devices into which a CPU host is split.
      stop: polled while waiting for an answer; true kills the worker.

    Raises:
      WorkerError: the interpreter cannot be started.
    """
    self.module, self._stop = module, stop
    self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
    try:
      self._process = subprocess.Popen(
        [python, "-m", module],
        cwd=ROOT,
        env=_environment(os.environ, devices),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._stderr,
        text=True,
        errors="replace",
        # Ctrl-C reaches only the benchmark, which then ends its workers.
        start_new_session=True,
      )
    except OSError as error:
      self._stderr.close()
      raise WorkerError(f"{python} cannot be started: {error.strerror}.") from error

  def call(self, job: str, timeout: float | None = None, **arguments: Any) -> dict[str, Any]:
    """Runs one job and returns its answer.

    Args:
      job: name of the job.
      timeout: seconds after which the worker is killed.
      **arguments: arguments of the job.

    Raises:
      WorkerError: the worker answered with an error.
      WorkerDied: the worker ended without an answer.
      WorkerTimeout: the job took longer than ``timeout``.
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
      raise WorkerDied(f"{status}{self._last_line()}")
    try:
      answer = json.loads(line)
    except ValueError:
      answer = None
    if not isinstance(answer, dict):
      raise WorkerError(
        f"{self.module}, job {job!r}: {line.strip()[:200]!r} is not a valid answer."
      )
    if "error" in answer:
      raise WorkerError(f"{self.module}, job {job!r}: {answer['error']}")
    return answer

  def _read(self, timeout: float | None) -> str:
    """Reads a line; kills a worker that does not complete it in time."""
    limit = threading.TIMEOUT_MAX if timeout is None else timeout
    timer = threading.Timer(limit, self._kill)
    timer.daemon = True
    timer.start()
    try:
      return self._process.stdout.readline()
    finally:
      timer.cancel()

  def _kill(self) -> None:
    """Kills the worker and the processes it started."""
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)

  def _last_line(self) -> str:
    """Returns the last line of the worker's stderr, after a colon."""
    self._stderr.seek(0)
    lines = self._stderr.read().decode(errors="replace").split("\n")
    found = [line.strip() for line in lines if line.strip()]
    return f": {found[-1][:400]}" if found else ""

  def _wait(self, job: str, timeout: float | None) -> None:
    """Waits until an answer arrives or the pipe is closed."""
    end = float("inf") if timeout is None else time.monotonic() + timeout
    while not select.select([self._process.stdout], [], [], _POLL_SECONDS)[0]:
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
    """Ends the worker by closing its stdin; kills it if it is busy."""
    if kind is not None:
      self._kill()
    with contextlib.suppress(BrokenPipeError):  # a dead worker leaves unread input
      self._process.stdin.close()
    try:
      self._process.wait(timeout=10)
    except subprocess.TimeoutExpired:
      self._kill()
      self._process.wait()
    self._process.stdout.close()
    self._stderr.close()


def _environment(inherited: Mapping[str, str], devices: int) -> dict[str, str]:
  """Returns the environment variables of a worker with ``devices`` CPU devices."""
  environment = {**ENVIRONMENT, **inherited}
  if devices > 1:
    flag = f"--xla_force_host_platform_device_count={devices}"
    environment["XLA_FLAGS"] = f"{inherited.get('XLA_FLAGS', '')} {flag}".strip()
  return environment
