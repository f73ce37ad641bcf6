"""Steps through episodes on the host: times plans, displays them, logs steps."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.plan.control import (
  Control,
  Moment,
  finish,
  float_settings,
  moment,
  with_floats,
)
from mbrl_jax.runtime.rendering.drawing import Lines
from mbrl_jax.runtime.rendering.panel import Panel
from mbrl_jax.runtime.rendering.plan_overlay import colours, widths
from mbrl_jax.runtime.rendering.viewer import Viewer
from mbrl_jax.runtime.storage.csv_log import Table
from mbrl_jax.runtime.training.progress import Progress, duration

RECENT = 50
"""Control steps in the average of the live real-time factor."""
REPORT_SECONDS = 5.0
"""Seconds between two lines of progress within an episode."""
LONGEST_SLEEP = 0.2
"""Maximum seconds of one sleep, so that a slow session can be stopped."""
KEPT = 100_000
"""Replans whose times are kept for the quantiles."""


class EpisodeResult(NamedTuple):
  """A finished or interrupted episode.

  Attributes:
    moments: see ``control.Moment``, ``[T, ...]``; ``None`` if no step was taken.
    seconds: planning times ``[T]``.
    complete: whether it ended without an interrupt or reset.
  """

  moments: Moment | None
  seconds: np.ndarray
  complete: bool


class Session:
  """Runs episodes one step at a time.

  Attributes:
    returns: of the complete episodes.
    planned: seconds of the latest ``KEPT`` replans.
    misses: control steps whose planning took longer than the step itself.
    steps: control steps taken in total.
    busy: seconds of planning and simulating, without display and waiting.
  """

  def __init__(
    self,
    control: Control,
    *,
    dt: float,
    length: int,
    speed: float,
    table: Table,
    progress: Progress,
    total: int | None,
    stop: Callable[[], Any],
    viewer: Viewer | None = None,
    point: Callable[[np.ndarray], np.ndarray] | None = None,
    panel: Panel | None = None,
    settings: set[str] | None = None,
  ):
    """Stores the parts of the session.

    Args:
      control: compiled functions.
      dt: seconds of a control step.
      length: control steps of an episode.
      speed: maximum real-time factor; 0: no limit.
      table: receives a row for each step.
      progress: prints lines of progress.
      total: control steps of all episodes, ``None``: unlimited.
      stop: returns whether to stop before the next step.
      viewer: displays every step.
      point: ``(poses) -> points``, whose paths the viewer draws.
      panel: sets floats of the search.
      settings: names of these floats, see ``float_settings``.
    """
    self._control, self._table, self._progress = control, table, progress
    self._dt, self._length, self._speed, self._total = dt, length, speed, total
    self._stop, self._viewer, self._point, self._panel = stop, viewer, point, panel
    self._settings, self._tuned = settings or set(), {}
    self.returns: list[float] = []
    self.planned: collections.deque[float] = collections.deque(maxlen=KEPT)
    self.misses = self.steps = 0
    self.busy = 0.0
    self._recent: collections.deque[float] = collections.deque(maxlen=RECENT)
    self._begun = self._reported = self._due = time.perf_counter()

  def run(self, episodes: int, key_of: Callable[[int], Any]) -> EpisodeResult:
    """Runs episodes, without end if ``episodes`` is 0; returns the last that has steps."""
    last, number, done = EpisodeResult(None, np.zeros(0), False), 0, 0
    while not self._stopped() and (not episodes or done < episodes):
      number += 1
      begun, steps, busy = time.perf_counter(), self.steps, self.busy
      episode = self._episode(number, key_of(number))
      last = last if episode.moments is None else episode
      if episode.complete:
        done += 1
        total = float(np.sum(episode.moments.reward, dtype=np.float64))
        self.returns.append(total)
        rate = (self.steps - steps) / (self.busy - busy)
        self._report_episode(number, total, time.perf_counter() - begun, rate)
    return last

  def _episode(self, number: int, key: Any) -> EpisodeResult:
    state, plan_state = self._control.start(key)
    plan_state = with_floats(plan_state, self._tuned)
    moments: list[Moment] = []
    seconds: list[float] = []
    traces, reward_sum, self._due = None, 0.0, time.perf_counter()
    for step in range(1, self._length + 1):
      if self._wait():
        break
      plan_state = self._tune(plan_state)
      state, plan_state, now, planned = self._step(state, plan_state, key, traces)
      traces = now.trace_poses, now.trace_returns
      moments.append(now)
      seconds.append(planned)
      reward_sum += float(now.reward)
      self._log_step((number, step), now, (reward_sum, planned), plan_state)
      if now.terminated:
        break
    complete = bool(moments) and (len(moments) == self._length or bool(now.terminated))
    stacked = jax.tree.map(lambda *x: np.stack(x), *moments) if moments else None
    return EpisodeResult(stacked and finish(stacked), np.array(seconds), complete)

  def _step(self, state: Any, before: Any, key: Any, traces: Any) -> tuple:
    """Takes one control step; times planning and simulation."""
    start = time.perf_counter()
    output, after, action = jax.block_until_ready(self._control.plan(state, before, key))
    planned = time.perf_counter() - start
    if traces is None or output.metrics["iterations"] > 0:
      traces = jax.device_get(self._control.look(state, before, output.plan, key))
      self.planned.append(planned)
    looked = time.perf_counter()
    state, *moved = jax.block_until_ready(self._control.move(state, action, key))
    self._recent.append(planned + time.perf_counter() - looked)
    self.busy += self._recent[-1]
    self.steps += 1
    self.misses += planned > self._dt
    now = moment(*jax.device_get((output, tuple(moved))), traces)
    return state, after, now, planned

  def _tune(self, plan_state: Any) -> Any:
    changed = self._panel.take() if self._panel else {}
    self._tuned |= changed
    return with_floats(plan_state, changed)

  def _wait(self) -> bool:
    """Waits while paused and until the step is due; returns whether the episode should end."""
    while self._paused() and not self._stopped():
      time.sleep(0.02)
      self._due = time.perf_counter()
    if self._speed:
      # A late step does not shorten the following ones.
      self._due = max(self._due, time.perf_counter() - self._dt / self._speed)
      while self._due - time.perf_counter() > LONGEST_SLEEP and not self._stopped():
        time.sleep(LONGEST_SLEEP)
      time.sleep(min(max(self._due - time.perf_counter(), 0.0), LONGEST_SLEEP))
      self._due += self._dt / self._speed
    sources = [source for source in (self._panel, self._viewer) if source]
    return any([source.take_reset() for source in sources]) or self._stopped()

  def _paused(self) -> bool:
    return any(source.paused for source in (self._panel, self._viewer) if source)

  def _stopped(self) -> bool:
    return bool(self._stop()) or (self._viewer is not None and not self._viewer.running)

  def _log_step(
    self, where: tuple[int, int], now: Moment, sums: tuple[float, float], plan_state: Any
  ) -> None:
    """Writes and displays one step."""
    (number, step), (total, planned) = where, sums
    status = {
      "episode": number,
      "step": step,
      "time": self._dt * step,
      "reward": float(now.reward),
      "return": total,
      "value": float(now.value),
      "nonfinite": int(now.nonfinite),
      "iterations": int(now.iterations),
      "plan_seconds": planned,
    }
    self._table.write({"step": self.steps, "episode": number} | _without(status, "step"))
    factor = self._dt * len(self._recent) / sum(self._recent)
    live = {"real-time factor": factor, "misses": self.misses}
    status = _without(status, "plan_seconds") | {"plan (ms)": 1e3 * self.planned[-1]} | live
    if self._panel:
      names = float_settings(plan_state, self._settings)
      self._panel.refresh(names, status)
    if self._viewer:
      self._show(now, status)
    self._progress.advance(self.steps)
    self._report_progress(status)

  def _show(self, now: Moment, status: dict[str, Any]) -> None:
    lines = None
    if self._point:
      coloured = colours(now.trace_returns)
      lines = Lines(self._point(now.trace_poses), coloured, widths(len(coloured)))
    text = "\n".join(status), "\n".join(f"{value:.4g}" for value in status.values())
    self._viewer.show(now.pose, lines, "\t".join(text))

  def _report_progress(self, status: dict[str, Any]) -> None:
    """Prints a line of progress every ``REPORT_SECONDS``."""
    if time.perf_counter() - self._reported < REPORT_SECONDS:
      return
    self._reported = time.perf_counter()
    parts = [f"episode {status['episode']}", f"step {status['step']:>4}/{self._length}"]
    parts += [f"return {status['return']:9.2f}", f"{status['plan (ms)']:.1f} ms/plan"]
    parts.append(f"real-time factor {status['real-time factor']:.2f}")
    if self._total:
      left = (self._reported - self._begun) * (self._total - self.steps) / self.steps
      parts.append(f"ETA {duration(left)}")
    self._progress.note(" | ".join(parts))

  def _report_episode(self, number: int, total: float, seconds: float, rate: float) -> None:
    row = {"trial": number, "random": 0, "return": total}
    timing = {"seconds": seconds, "plans_per_second": rate}
    if self._total:
      self._progress.trials([self.steps], [row], timing)
    else:
      self._progress.note(f"episode {number} | return {total:9.2f} | {seconds:.1f} s")


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
  return {key: value for key, value in row.items() if key != name}
