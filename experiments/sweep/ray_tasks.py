"""Starts runs of a sweep as Ray tasks, on a cluster or on a local Ray."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.command_line.cli import UsageError
from experiments.sweep.processes import environment

STOPPED = 143
"""Exit status of a task cancelled before its start: that of a process ended by SIGTERM."""
PATIENCE = 5.0
"""Seconds after which a task that still runs is asked to stop again."""
MISSING = "--backend=ray needs Ray, which is not installed: .venv/bin/pip install ray"


def load() -> Any:
  """Imports Ray.

  Raises:
    UsageError: it is not installed; the message has the command that installs it.
  """
  try:
    import ray
  except ImportError as error:
    raise UsageError(MISSING) from error
  return ray


class RayRun:
  """A submitted task, see ``schedule.Handle``."""

  def __init__(self, ray: Any, reference: Any):
    """Stores the reference to a submitted task."""
    self._ray, self._reference = ray, reference
    self._status: int | None = None
    self._stop_again: float | None = None

  def poll(self) -> int | None:
    """Returns the exit status, ``None`` while the task runs or waits."""
    if self._status is None and self._ray.wait([self._reference], timeout=0)[0]:
      try:
        self._status = int(self._ray.get(self._reference))
      except self._ray.exceptions.RayError:
        self._status = STOPPED
    if self._status is None and self._stop_again and time.monotonic() > self._stop_again:
      self.stop()
    return self._status

  def stop(self) -> None:
    """Requests that the process saves and ends."""
    # On a busy machine a request was lost once.
    self._stop_again = time.monotonic() + PATIENCE
    self._ray.cancel(self._reference, force=False)

  def kill(self) -> None:
    """Ends the task at once."""
    with contextlib.suppress(self._ray.exceptions.RayError):
      self._ray.cancel(self._reference, force=True)


class RayTasks:
  """Runs commands as Ray tasks, see ``schedule.Backend``."""

  def __init__(self, jobs: int, address: str | None = None):
    """Joins a cluster, or starts a local Ray on the loopback interface.

    Args:
      jobs: tasks at a time; a cluster may have resources for fewer.
      address: of the cluster; ``None``: a local Ray, whatever environment variables name.

    Raises:
      UsageError: Ray is not installed, or no cluster answers at the address.
    """
    self._ray = load()
    self._variables = environment(jobs)
    if address and ":" in address:
      _check_reachable(address)  # Ray itself retries for minutes
    alone = {"_node_ip_address": "127.0.0.1", "num_cpus": jobs, "include_dashboard": False}
    try:
      self._ray.init(address or "local", log_to_driver=False, **({} if address else alone))
    except (ConnectionError, ValueError, RuntimeError) as error:
      raise UsageError(f"--ray_address={address}: {' '.join(str(error).split())}") from error
    # A nested function is sent by value: workers need not import this module.
    self._remote = self._ray.remote(num_cpus=1, max_retries=0)(_make_work())

  def start(self, command: Sequence[str], log: Path) -> RayRun:
    """Submits a task."""
    # Ray hides accelerators and most cores from its workers; pass on this process's variables.
    arguments = (list(command), str(log.absolute()), self._variables, os.getcwd())
    return RayRun(self._ray, self._remote.remote(*arguments))

  def close(self) -> None:
    """Shuts Ray down."""
    self._ray.shutdown()


def _check_reachable(address: str) -> None:
  """Raises ``UsageError`` if nothing listens at ``[ray://]host:port``."""
  host, _, port = address.removeprefix("ray://").rpartition(":")
  try:
    socket.create_connection((host, int(port)), timeout=5.0).close()
  except (OSError, ValueError) as error:
    raise UsageError(f"--ray_address={address}: {error}") from error


def _make_work() -> Any:
  """Makes the function that a worker runs."""

  def work(command: list[str], log: str, variables: dict[str, str], folder: str) -> int:
    import subprocess
    import time

    with open(log, "ab") as file:
      process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # ends with this worker
        stdout=file,
        stderr=subprocess.STDOUT,
        env=variables,
        cwd=folder,
        start_new_session=True,
      )
    status, stopped = None, False
    while status is None:
      try:
        time.sleep(0.2)
        status = process.poll()
      except KeyboardInterrupt:  # raised by ``ray.cancel``, perhaps more than once
        if not stopped:
          process.terminate()
        stopped = True
    return status

  return work
