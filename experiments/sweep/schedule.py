"""Schedules the runs of a sweep, some at a time, and reports progress."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import rich.console
import rich.progress

from experiments.analysis import run_summary
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training.progress import duration

POLL_SECONDS = 0.2
"""Seconds between polls of the processes."""
REPORT_SECONDS = 60.0
"""Seconds between lines of progress without a terminal."""
DONE, FAILED, STOPPED, WAITING = "done", "failed", "stopped", "not started"


class Handle(Protocol):
  """A started process."""

  def poll(self) -> int | None:
    """Returns the exit status, ``None`` while the process runs."""

  def stop(self) -> None:
    """Requests that the process saves and ends."""

  def kill(self) -> None:
    """Ends the process at once."""


class Backend(Protocol):
  """Starts processes."""

  def start(self, command: Sequence[str], log: Path) -> Handle:
    """Starts a command; appends its output to ``log``."""

  def close(self) -> None:
    """Releases all resources."""


@dataclasses.dataclass
class Run:
  """One run of a sweep.

  Attributes:
    name: its name in tables.
    folder: its run folder.
    total_steps: environment steps of the complete run; an upper bound if it counts episodes.
    total_episodes: episodes of the complete run over all seeds; 0: it counts steps.
    status: ``DONE``, ``FAILED``, ``STOPPED`` or ``WAITING``.
    reason: last line of the log of a failed run.
  """

  name: str
  folder: RunFolder
  total_steps: int
  total_episodes: int = 0
  status: str = WAITING
  reason: str = ""

  @property
  def log(self) -> Path:
    """The log file of the run."""
    return log_of(self.folder)

  @property
  def saved(self) -> int:
    """Step of the newest checkpoint, 0 if there is none."""
    return next(reversed(Checkpoints(self.folder.checkpoints).steps()), 0)

  @property
  def complete(self) -> bool:
    """Whether a checkpoint of the last step exists."""
    if not self.total_episodes:
      return self.saved >= self.total_steps
    rows = read_table(self.folder.metrics) if self.folder.metrics.exists() else []
    return sum(row["step"] <= self.saved for row in rows) >= self.total_episodes

  @property
  def step(self) -> int:
    """Environment steps taken so far."""
    return self.total_steps if self.status == DONE else run_summary.last_step(self.folder)


class Group(NamedTuple):
  """One process, which trains one or several runs.

  Attributes:
    runs: the runs.
    command: starts or resumes them.
    log: file of the output of the process.
  """

  runs: Sequence[Run]
  command: Sequence[str]
  log: Path


def log_of(folder: RunFolder) -> Path:
  """Returns the log file of a run, next to its folder."""
  return folder.path.with_name(f"{folder.path.name}.log")


def run_groups(
  groups: Sequence[Group],
  backend: Backend,
  most: int,
  console: rich.console.Console,
  stop: Callable[[], object],
) -> None:
  """Runs all groups to their end and sets the ``status`` of their runs.

  Args:
    groups: processes to start; none of their runs is complete.
    backend: starts the processes.
    most: maximum number of processes at a time.
    console: prints progress.
    stop: polled; once true, running processes are stopped and no others are started.
  """
  waiting = list(groups)
  running: dict[Path, tuple[Group, Handle, float]] = {}
  show, stopping = _Display([run for group in groups for run in group.runs], console), False
  try:
    while running or (waiting and not stop()):
      if stop() and not stopping:
        stopping = True
        show.line(f"stopping: {_count(running)} runs save; Ctrl-C again kills them")
        for _, handle, _ in running.values():
          handle.stop()
      while waiting and len(running) < most and not stop():
        group = waiting.pop(0)
        show.line(f"start         {' + '.join(run.name for run in group.runs)}")
        running[group.log] = (
          group,
          backend.start(group.command, group.log),
          time.perf_counter(),
        )
      for log, (group, handle, begun) in list(running.items()):
        status = handle.poll()
        if status is not None:
          del running[log]
          for run in group.runs:
            _end(run, status, stop(), group.log)
            show.ended(run, time.perf_counter() - begun)
      show.update(_count(running))
      time.sleep(POLL_SECONDS)
  finally:
    for _, handle, _ in running.values():
      handle.kill()
    show.close()


def last_line(log: Path) -> str:
  """Returns the last non-empty line of a log, or an empty string."""
  if not log.exists():
    return ""
  lines = log.read_text(errors="replace").splitlines()
  return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _count(running: Mapping[Path, tuple[Group, Handle, float]]) -> int:
  return sum(len(group.runs) for group, _, _ in running.values())


def _end(run: Run, status: int, stopping: object, log: Path) -> None:
  """Sets the status of an ended run; ``log`` is that of its process, for early errors."""
  if run.complete:
    run.status = DONE
  elif stopping or status == 0:  # a run stopped by an outside SIGTERM has status 0, too
    run.status = STOPPED
  else:
    run.status = FAILED
    message = last_line(run.log) or last_line(log)
    run.reason = message or f"exit status {status} without output"


class _Display:
  """Shows progress: a bar on a terminal, otherwise lines."""

  def __init__(self, runs: Sequence[Run], console: rich.console.Console):
    self._runs, self._console = runs, console
    self._total = sum(run.total_steps for run in runs)
    self._begun = self._reported = time.perf_counter()
    self._first = self._steps()
    self._bar: rich.progress.Progress | None = None
    if console.is_terminal:
      self._bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        console=console,
        transient=True,
      )
      self._task = self._bar.add_task("", total=self._total)
      self._bar.start()

  def line(self, text: str) -> None:
    self._console.print(text, markup=False)

  def ended(self, run: Run, seconds: float) -> None:
    why = f": {run.reason}" if run.reason else f" at step {run.step}"
    self.line(f"{run.status:13} {run.name}{why} | {duration(seconds)} | {self._summary()}")

  def update(self, running: int) -> None:
    now = time.perf_counter()
    if self._bar:
      text = f"{running} running, {self._summary()}"
      self._bar.update(self._task, completed=self._steps(), description=text)
    elif now - self._reported > REPORT_SECONDS:
      self._reported = now
      share = self._steps() / max(self._total, 1)
      self.line(f"{running} running, {self._summary()}, {share:.0%} of the steps")

  def close(self) -> None:
    if self._bar:
      self._bar.stop()

  def _steps(self) -> int:
    return sum(min(run.step, run.total_steps) for run in self._runs)

  def _summary(self) -> str:
    ended = sum(run.status in (DONE, FAILED) for run in self._runs)
    return f"{ended}/{len(self._runs)} ended, ETA {self._eta()}"

  def _eta(self) -> str:
    """Estimates the remaining time from the steps since the start, without failed runs."""
    steps = self._steps()
    if steps <= self._first:
      return "unknown"
    rate = (steps - self._first) / (time.perf_counter() - self._begun)
    rest = sum(max(run.total_steps - run.step, 0) for run in self._runs if run.status != FAILED)
    return duration(rest / rate)
