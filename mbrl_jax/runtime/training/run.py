"""Tracks one run: logging, evaluation, checkpoints."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

import jax
import numpy as np
import rich.console

from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime.storage import audit, predictions
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays
from mbrl_jax.runtime.storage.metrics import MetricsWriter, Tracker
from mbrl_jax.runtime.storage.rollouts import Rollouts
from mbrl_jax.runtime.storage.run_folder import CONFIG_CRC, CONFIG_GROWS, RunFolder
from mbrl_jax.runtime.training import chunk, nonfinite
from mbrl_jax.runtime.training.counters import EndedEpisode, SeedCounters, strip_prefix
from mbrl_jax.runtime.training.progress import RECENT, Progress
from mbrl_jax.runtime.training.schedule import Schedule
from mbrl_jax.runtime.training.timing import Timer
from mbrl_jax.types import Metrics, TrainState

Evaluator = Callable[[TrainState, int], Metrics]
"""``(state, step) -> metrics`` of evaluation episodes, see ``algorithms.make_evaluation``:
``return`` and perhaps ``success``, ``[S, episodes]`` of S seeds, or ``[episodes]`` of one."""
WARNINGS = {
  "planner/nonfinite": "plans had no finite return and were ignored",
  "planner/masked_actions": "actions were not finite and were replaced by the middle of the "
  "bounds",
  "planner/nonfinite_transitions": "transitions were not finite and were not stored",
}
"""Metrics of an episode that count faults, and how they are reported."""


class Diverged(RuntimeError):
  """A value became non-finite; the message names it and the checkpoint to load."""


class EnvironmentStopped(RuntimeError):
  """The environment failed; the message holds the reason and the newest checkpoint."""


class Run:
  """The training state of a run with its counters, files and display."""

  def __init__(
    self,
    state: TrainState,
    folder: RunFolder,
    schedule: Schedule,
    seeds: list[int] | None,
    resume: int | str | bool,
    tracker: Tracker | None = None,
    console: rich.console.Console | None = None,
    envs: int = 1,
  ):
    """Starts a run, or continues one; the arguments are those of ``loop.train``."""
    self.folder, self.schedule, self.seeds = folder, schedule, seeds
    self.checkpoints = Checkpoints(folder.checkpoints, schedule.keep)
    self._config_crc = folder.config_crc(schedule.grows)
    self.initial_nan = set(nonfinite.nan_leaves(state))
    host: Arrays = {}
    self.state, self.step = state, 0
    # A run that was killed before its first checkpoint starts over.
    if resume is not False and (resume is not True or self.checkpoints.steps()):
      chosen = None if resume is True else resume
      self.state, host, self.step = self.checkpoints.restore(state, chosen)
      folder.check_config_of(host)
    dropped = resume is True and not self.step and folder.metrics.exists()
    self.saved = self.step if self.step else None
    self.logs = [folder.logs(seed) for seed in seeds] if seeds else [folder.logs()]
    self.counters = [
      SeedCounters(strip_prefix(f"{i}/", host), envs) for i in range(len(self.logs))
    ]
    checksums = audit.from_host(host)
    self.rollouts = [
      Rollouts.load(p, self.step, checksums.get(f"{p.name}.npz")) for p in self.logs
    ]
    after = self.step if resume is not False else None
    tags = "seed{seed:.0f}/" if seeds else ""
    # Seeds whose episodes end early finish before the others and then take no more steps.
    self.steps = [int(n) for n in np.atleast_1d(jax.device_get(self.state.steps))]
    self.recent_lengths: list[collections.deque[int]] = [
      collections.deque(maxlen=RECENT) for _ in self.counters
    ]
    self.writer = MetricsWriter(folder.path, after, tags, tracker, checksums)
    # Files change only after everything to resume from has been read.
    self.checkpoints.discard_after(self.step)
    self.writer.start()
    self.timer = Timer()
    self.progress = Progress(schedule.total_steps, self.step, console)
    if dropped:
      self.note(f"{folder.path} has no checkpoint: the run starts over and drops its rows")

  @property
  def finished(self) -> bool:
    """Whether all seeds have reached the end of the schedule."""
    return all(self._finished(i) for i in range(len(self.counters)))

  def note(self, text: str) -> None:
    """Prints a line."""
    self.progress.note(text)

  def compiled(self, what: str, seconds: float) -> None:
    """Reports the time of a compilation and restarts the timer."""
    self.progress.compiled(what, seconds)
    self.timer = Timer()

  def add_chunk(
    self, state: TrainState, metrics: Metrics, seconds: float, evaluate: Evaluator | None
  ) -> None:
    """Checks a chunk, logs the episodes that ended in it, and evaluates and saves if due."""
    steps, done, returns = chunk.steps_of_seeds(metrics, self.seeds)
    updates = chunk.updates_of_seeds(metrics, self.seeds)
    self._check_finite(state, steps, [update for update in updates if update])
    self.timer.add(seconds, steps, learned=any(updates))
    ended: list[EndedEpisode] = []
    for i, counters in enumerate(self.counters):
      found = counters.feed(self.steps[i], steps[i], done[i], returns[i])
      ended += [EndedEpisode(i, episode, row) for episode, row in found]
      self.steps[i] += len(done[i])
      if updates[i]:
        counters.learned(updates[i])
    timing = self.timer.lap() if ended else {}
    before, self.step, self.state = self.step, max(self.steps), state
    self._check_same_step()
    if ended and self.schedule.total_episodes:
      self.progress.set_total(self._expected_steps(ended))
    self.progress.advance(self.step)
    # Before any row is written: if it fails, resuming must repeat this chunk.
    evaluated = self._evaluate(before, ended, evaluate)
    self._log(ended, timing, {} if self.schedule.eval_steps else evaluated)
    if self.schedule.eval_steps:
      self._log_evaluations(evaluated)
    episodes = [counters.episodes for counters in self.counters]
    if self.schedule.checkpoint_due(before, self.step, ended, episodes) or self.finished:
      self.save(self._score(ended, evaluated))

  def save(self, score: float | None = None) -> None:
    """Writes rollouts and rows, then the checkpoint, which relies on them."""
    if self.schedule.keep_rollouts:
      for path, rollouts in zip(self.logs, self.rollouts, strict=True):
        if len(rollouts):
          rollouts.save(path)
    checksums = self.writer.sync()
    checksums |= {
      f"{p.name}.npz": r.checksum for p, r in zip(self.logs, self.rollouts, strict=True)
    }
    host = {
      f"{i}/{k}": v
      for i, counters in enumerate(self.counters)
      for k, v in counters.arrays().items()
    }
    host[CONFIG_CRC] = np.asarray(self._config_crc, np.int64)
    host[CONFIG_GROWS] = np.asarray(self.schedule.grows)
    host |= audit.to_host(checksums)
    self.checkpoints.save(self.step, self.state, host, score)
    self.saved = self.step

  def save_if_unsaved(self) -> None:
    """Saves unless the newest checkpoint is of this step."""
    if self.saved != self.step:
      self.save()

  def close(self) -> None:
    """Ends the display and closes the files."""
    self.progress.close()
    self.writer.close()

  def check_environment(self, error: Exception, save: bool = True) -> None:
    """Stops the run if ``error`` is a failure of the environment.

    Args:
      error: as it was caught from the compiled step.
      save: save the state first.

    Raises:
      EnvironmentStopped: it is one.
    """
    reason = failure(error)
    if reason is None:
      return
    if save:
      self.save_if_unsaved()
    raise EnvironmentStopped(
      f"Training stopped after step {self.step}: {reason.rstrip('.')}. The newest checkpoint "
      f"in {self.folder.checkpoints} is {'none' if self.saved is None else self.saved}."
    ) from error

  def _finished(self, i: int) -> bool:
    """Returns whether a seed has reached the end of the schedule."""
    if self.schedule.total_episodes:
      return self.counters[i].episodes >= self.schedule.total_episodes
    return self.steps[i] >= self.schedule.total_steps

  def _check_same_step(self) -> None:
    """Raises ``ValueError`` unless unfinished seeds are at one step, as a checkpoint needs."""
    unfinished = {steps for i, steps in enumerate(self.steps) if not self._finished(i)}
    if len(unfinished) > 1:
      raise ValueError(
        f"The seeds are at different steps, {sorted(unfinished)}: where episodes end early and "
        "the algorithm learns after each, several seeds need make_step(steps=1)."
      )

  def _expected_steps(self, ended: Sequence[EndedEpisode]) -> int:
    """Estimates the steps of the whole run from the lengths of the latest episodes."""
    for i, episode, _ in ended:
      self.recent_lengths[i].append(episode.length)
    total, longest = self.schedule.total_episodes, self.schedule.total_steps
    left = [max(total - counters.episodes, 0) for counters in self.counters]
    length = [np.mean(recent) if recent else longest / total for recent in self.recent_lengths]
    return round(max(n + k * t for n, k, t in zip(self.steps, left, length, strict=True)))

  def _check_finite(
    self, state: TrainState, steps: Sequence[Arrays], updates: Sequence[Row]
  ) -> None:
    """Saves the previous state and raises ``Diverged`` if the chunk is not finite."""
    found = [nonfinite.first_nonfinite(arrays, {}) for arrays in steps]
    found += [nonfinite.first_nonfinite({}, update) for update in updates]
    new_nan = [p for p in nonfinite.nan_leaves(state) if p not in self.initial_nan]
    found += [f"parameter {path}" for path in new_nan]
    broken = next((name for name in found if name), None)
    if broken is None:
      return
    self.save_if_unsaved()
    raise Diverged(
      f"Training stopped: {broken} is not finite after step {self.step}. The last finite "
      f"state is checkpoint {self.step} in {self.folder.checkpoints}."
    )

  def _log(self, ended: Sequence[EndedEpisode], timing: Row, evaluated: dict[int, Row]) -> None:
    """Logs the episodes that ended, with evaluations in the last row of each seed."""
    last = {i: episode.step for i, episode, _ in ended}
    shown: dict[int, list[Row]] = {i: [] for i in last}
    for i, episode, row in sorted(ended, key=lambda e: (e.episode.step, e.seed)):
      learned = {f"model/{k}": v for k, v in self.counters[i].update.items()}
      found = evaluated.get(i, {}) if episode.step == last[i] else {}
      row = {**self._seed(i), **row, **learned, **found}
      self.writer.write(episode.step, row, {**self._seed(i), **timing})
      shown[i].append({**row, "step": episode.step})
      for name, fault in WARNINGS.items():
        if row.get(name):
          self.progress.note(f"warning: {row[name]:.0f} {fault}")
      if self.schedule.keep_rollouts:
        self.rollouts[i].add(episode)
      seed = self.seeds[i] if self.seeds else None
      predictions.save(self.folder, seed, row, episode)
    for i, rows in shown.items():
      steps = [int(row["step"]) for row in rows]
      self.progress.trials(steps, rows, timing, self.counters[i].error())

  def _log_evaluations(self, evaluated: dict[int, Row]) -> None:
    """Logs evaluations that belong to no episode."""
    for i, found in evaluated.items():
      row = {**self._seed(i), **found}
      self.writer.evaluation(self.step, row)
      self.progress.evaluation(self.step, row)

  def _seed(self, i: int) -> Row:
    return {"seed": self.seeds[i]} if self.seeds else {}

  def _evaluate(
    self, before: int, ended: Sequence[EndedEpisode], evaluate: Evaluator | None
  ) -> dict[int, Row]:
    """Evaluates the seeds for which it is due, and returns a row of each by index."""
    due = self.schedule.seeds_to_evaluate(before, self.step, ended, len(self.counters))
    if evaluate is None or not due:
      return {}
    try:
      found = evaluate(self.state, self.step)
    except Exception as error:
      self.check_environment(error, save=False)
      raise
    rows = chunk.evaluations_of_seeds(found)
    return {i: row for i, row in enumerate(rows) if i in due}

  def _score(self, ended: Sequence[EndedEpisode], evaluated: dict[int, Row]) -> float | None:
    """Returns the score that selects the best checkpoint: the mean of the latest returns."""
    if self.schedule.evaluates:
      values = [row["eval/return"] for row in evaluated.values()]
    else:
      values = [row["return"] for _, _, row in ended if not row["random"]]
    return float(np.mean(values)) if values else None
