"""Starts each run of a sweep as a process of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mbrl_jax.runtime.training.interrupt import ENDS_WITH_STDIN


def environment(jobs: int) -> dict[str, str]:
  """Returns the variables of a run that shares the machine with others and ends with us."""
  # jax would take three quarters of an accelerator's memory for each.
  share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.2f}"} if jobs > 1 else {}
  return {**share, **os.environ, ENDS_WITH_STDIN: "1"}


class Process:
  """One run."""

  def __init__(self, command: Sequence[str], log: Path, variables: dict[str, str]):
    """Starts it; what it says is added to ``log``."""
    with open(log, "ab") as file:
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # ends with this process, see ENDS_WITH_STDIN
        stdout=file,
        stderr=subprocess.STDOUT,
        env=variables,
        # A Ctrl-C is for the sweep, which then asks its runs to stop.
        start_new_session=True,
      )

  def poll(self) -> int | None:
    """Returns the exit status, ``None`` while it runs."""
    return self._process.poll()

  def stop(self) -> None:
    """Asks the run to save and end; it does so after its present call."""
    if self._process.poll() is None:
      # Not SIGINT: where the sweep runs in the background that is ignored, also by children.
      self._process.send_signal(signal.SIGTERM)

  def kill(self) -> None:
    """Ends the run at once; it resumes from its last checkpoint."""
    if self._process.poll() is None:
      self._process.kill()
      self._process.wait()


class Processes:
  """Runs as processes, side by side."""

  def __init__(self, jobs: int):
    """Prepares for ``jobs`` runs at once."""
    self._variables = environment(jobs)

  def start(self, command: Sequence[str], log: Path) -> Process:
    """Starts a run."""
    return Process(command, log, self._variables)

  def close(self) -> None:
    """Has nothing to put away."""
