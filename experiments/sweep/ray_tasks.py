"""Starts each run of a sweep as a task of Ray, on a cluster or a Ray of this machine alone."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.command_line.cli import UsageError
from experiments.sweep.processes import environment

STOPPED = 143
"""Status of a task that was cancelled before it began, as of a process that SIGTERM ended."""
MISSING = "--backend=ray needs Ray, which is not installed: .venv/bin/pip install ray"


def load() -> Any:
  """Imports Ray.

  Raises:
    UsageError: it is not installed; the message says the command.
  """
  try:
    import ray
  except ImportError as error:
    raise UsageError(MISSING) from error
  return ray


class RayRun:
  """One run."""

  def __init__(self, ray: Any, reference: Any):
    """Takes a task that has been submitted."""
    self._ray, self._reference = ray, reference
    self._status: int | None = None

  def poll(self) -> int | None:
    """Returns the exit status, ``None`` while it runs or waits."""
    if self._status is None and self._ray.wait([self._reference], timeout=0)[0]:
      try:
        self._status = int(self._ray.get(self._reference))
      except self._ray.exceptions.RayError:
        self._status = STOPPED
    return self._status

  def stop(self) -> None:
    """Asks the run to save and end."""
    self._ray.cancel(self._reference, force=False)

  def kill(self) -> None:
    """Ends the task at once."""
    with contextlib.suppress(self._ray.exceptions.RayError):
      self._ray.cancel(self._reference, force=True)


class RayTasks:
  """Runs as Ray's tasks, one for each run."""

  def __init__(self, jobs: int, address: str | None = None):
    """Joins a cluster, or starts Ray on the loopback interface.

    Args:
      jobs: tasks at once; a cluster may have room for fewer.
      address: of the cluster; ``None``: start one, whatever an environment variable names.

    Raises:
      UsageError: Ray is not installed, or no cluster answers at the address.
    """
    self._ray = load()
    self._variables = environment(jobs)
    if address and ":" in address:
      _reach(address)  # Ray itself would try for minutes
    alone = {"_node_ip_address": "127.0.0.1", "num_cpus": jobs, "include_dashboard": False}
    try:
      self._ray.init(address or "local", log_to_driver=False, **({} if address else alone))
    except (ConnectionError, ValueError, RuntimeError) as error:
      raise UsageError(f"--ray_address={address}: {' '.join(str(error).split())}") from error
    # Made here, so that Ray sends the function itself: its workers need not import us.
    self._remote = self._ray.remote(num_cpus=1, max_retries=0)(_make_work())

  def start(self, command: Sequence[str], log: Path) -> RayRun:
    """Submits a run."""
    # Ray hides accelerators and most cores from its workers; a run shall see what we see.
    arguments = (list(command), str(log.absolute()), self._variables, os.getcwd())
    return RayRun(self._ray, self._remote.remote(*arguments))

  def close(self) -> None:
    """Ends Ray."""
    self._ray.shutdown()


def _reach(address: str) -> None:
  """Raises a UsageError if nothing listens at ``[ray://]host:port``."""
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
    try:
      while process.poll() is None:
        time.sleep(0.2)
    except KeyboardInterrupt:  # how Ray cancels
      process.terminate()
    return process.wait()

  return work
