"""Starts runs of a sweep as local processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mbrl_jax.runtime.training.interrupt import ENDS_WITH_STDIN


def environment(jobs: int) -> dict[str, str]:
  """Returns the environment variables of a run: its share of memory, its end with the sweep."""
  # By default jax reserves three quarters of an accelerator's memory for each process.
  share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.2f}"} if jobs > 1 else {}
  return {**share, **os.environ, ENDS_WITH_STDIN: "1"}


class Process:
  """A running process, see ``schedule.Handle``."""

  def __init__(self, command: Sequence[str], log: Path | None, variables: dict[str, str]):
    """Starts the process; appends its output to ``log``, ``None``: to this process' own."""
    with open(log, "ab") if log else contextlib.nullcontext() as file:
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # ends with this process, see ENDS_WITH_STDIN
        stdout=file,
        stderr=subprocess.STDOUT if log else None,
        env=variables,
        # Ctrl-C goes to the sweep only, which then stops its runs.
        start_new_session=True,
      )

  def poll(self) -> int | None:
    """Returns the exit status, ``None`` while the process runs."""
    return self._process.poll()

  def stop(self) -> None:
    """Requests that the process saves and ends, after its current compiled call."""
    if self._process.poll() is None:
      # Not SIGINT, which children of a background process ignore.
      self._process.send_signal(signal.SIGTERM)

  def kill(self) -> None:
    """Ends the process at once; its runs resume from their last checkpoints."""
    if self._process.poll() is None:
      self._process.kill()
      self._process.wait()


class Processes:
  """Runs commands as local processes, see ``schedule.Backend``."""

  def __init__(self, jobs: int):
    """Divides the memory of an accelerator by ``jobs`` processes."""
    self._variables = environment(jobs)

  def start(self, command: Sequence[str], log: Path) -> Process:
    """Starts a process."""
    return Process(command, log, self._variables)

  def close(self) -> None:
    """Does nothing: there are no resources to release."""
