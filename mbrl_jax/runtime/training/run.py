"""Books one run: its state, what is written about it, and when it is evaluated and saved."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import rich.console

from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime.storage import audit, predictions
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays, Episode, series
from mbrl_jax.runtime.storage.metrics import MetricsWriter, Tracker
from mbrl_jax.runtime.storage.rollouts import Rollouts
from mbrl_jax.runtime.storage.run_folder import CONFIG_CRC, CONFIG_GROWS, RunFolder
from mbrl_jax.runtime.training import nonfinite
from mbrl_jax.runtime.training.progress import RECENT, Progress
from mbrl_jax.runtime.training.records import Record, below, scalars
from mbrl_jax.runtime.training.timing import Clock
from mbrl_jax.types import Metrics, TrainState


class Diverged(RuntimeError):
  """Training met a number that is not finite; the message names it and what to load."""


class EnvironmentStopped(RuntimeError):
  """The environment failed; the message says of what, and where the run was saved."""


class Schedule(NamedTuple):
  """When what happens.

  Attributes:
    total_steps: environment steps of the whole run (of each seed).
    total_episodes: finished episodes of the whole run (of each seed) instead; the step must
      stand still after them, and ``total_steps`` is how many steps they take at most. 0:
      ``total_steps`` counts.
    eval_every: trials between separate evaluations of a seed; 0: none, the training
      rollouts are the evaluation, as in the original PETS program.
    eval_steps: environment steps between them instead, after the compiled call that
      reaches them; 0: ``eval_every`` counts.
    checkpoint_every: finished episodes (of any seed) between checkpoints.
    checkpoint_steps: environment steps between them instead, after the compiled call that
      reaches them; 0: ``checkpoint_every`` counts.
    keep: newest checkpoints to keep besides the best.
    keep_rollouts: write ``logs.npz`` and ``logs.mat``.
    grows: field of ``config.json`` that says how long the run is, such as ``config.steps``; a
      checkpoint goes with any value of it.
  """

  total_steps: int
  eval_every: int = 0
  eval_steps: int = 0
  checkpoint_every: int = 1
  checkpoint_steps: int = 0
  keep: int = 2
  keep_rollouts: bool = True
  total_episodes: int = 0
  grows: str = ""

  @property
  def evaluates(self) -> bool:
    """Whether there are evaluations at all."""
    return self.eval_every > 0 or self.eval_steps > 0


class Run:
  """The state of a run with everything that is written about it."""

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
    self.born_nan = set(nonfinite.nan_leaves(state))
    self.state, self.step, host = state, 0, {}
    # A run that was killed before its first checkpoint starts over.
    if resume is not False and (resume is not True or self.checkpoints.steps()):
      chosen = None if resume is True else resume
      self.state, host, self.step = self.checkpoints.restore(state, chosen)
      folder.check_config_of(host)
    dropped = resume is True and not self.step and folder.metrics.exists()
    self.saved = self.step if self.step else None
    self.logs = [folder.logs(name) for name in seeds or [None]]
    self.records = [Record(below(f"{i}/", host), envs) for i in range(len(self.logs))]
    checksums = audit.from_host(host)
    self.rollouts = [
      Rollouts.load(p, self.step, checksums.get(f"{p.name}.npz")) for p in self.logs
    ]
    after = self.step if resume is not False else None
    tags = "seed{seed:.0f}/" if seeds else ""
    # Seeds whose episodes end early are over before the others, and stand still then.
    self.steps = [int(n) for n in np.atleast_1d(jax.device_get(self.state.steps))]
    self.recent = [collections.deque(maxlen=RECENT) for _ in self.records]
    self.writer = MetricsWriter(folder.path, after, tags, tracker, checksums)
    # Only now that everything to continue from is known to be there.
    self.checkpoints.discard_after(self.step)
    self.writer.start()
    self.clock = Clock()
    self.progress = Progress(schedule.total_steps, self.step, console)
    if dropped:
      self.note(f"{folder.path} has no checkpoint: the run starts over and drops its rows")

  @property
  def finished(self) -> bool:
    """Whether the run has come to its end."""
    return all(self._over(i) for i in range(len(self.records)))

  def note(self, text: str) -> None:
    """Says something."""
    self.progress.note(text)

  def compiled(self, what: str, seconds: float) -> None:
    """Says how long a compilation took; the clock starts after it."""
    self.progress.compiled(what, seconds)
    self.clock = Clock()

  def take(
    self, state: TrainState, metrics: Metrics, seconds: float, evaluate: Callable | None
  ) -> None:
    """Books one chunk: checks it, logs the episodes that ended, saves where due."""
    steps, done, returns = _taken(metrics, self.seeds)
    update = [scalars(u) for u in _by_seed(metrics["update"], self.seeds)]
    self._check(state, steps, [u for u in update if u])
    self.clock.add(seconds, steps, learned=any(update))
    ended: list[tuple[int, Episode, Row]] = []
    for i, record in enumerate(self.records):
      ended += [(i, *e) for e in record.feed(self.steps[i], steps[i], done[i], returns[i])]
      self.steps[i] += len(done[i])
      if update[i]:
        record.learned(update[i])
    timing = self.clock.lap() if ended else {}
    before, self.step, self.state = self.step, max(self.steps), state
    self._check_abreast()
    if ended and self.schedule.total_episodes:
      self.progress.expect(self._expected(ended))
    self.progress.advance(self.step)
    # Before any row is written: if it fails, resuming must take this chunk once more.
    evaluated = self._evaluate(before, ended, evaluate)
    self._log(ended, timing, {} if self.schedule.eval_steps else evaluated)
    if self.schedule.eval_steps:
      self._log_evaluations(evaluated)
    if self._checkpoint_due(before, ended) or self.finished:
      self.save(self._score(ended, evaluated))

  def save(self, score: float | None = None) -> None:
    """Writes rollouts and rows first, then the checkpoint: what it counts on is on the disk."""
    if self.schedule.keep_rollouts:
      for path, rollouts in zip(self.logs, self.rollouts, strict=True):
        if len(rollouts):
          rollouts.save(path)
    checksums = self.writer.sync()
    checksums |= {
      f"{p.name}.npz": r.checksum for p, r in zip(self.logs, self.rollouts, strict=True)
    }
    host = {
      f"{i}/{k}": v for i, record in enumerate(self.records) for k, v in record.arrays().items()
    }
    host[CONFIG_CRC] = np.int64(self._config_crc)
    host[CONFIG_GROWS] = np.asarray(self.schedule.grows)
    host |= audit.to_host(checksums)
    self.checkpoints.save(self.step, self.state, host, score)
    self.saved = self.step

  def save_what_is_not(self) -> None:
    """Saves unless the newest checkpoint is of this step."""
    if self.saved != self.step:
      self.save()

  def close(self) -> None:
    """Ends the display and closes the files."""
    self.progress.close()
    self.writer.close()

  def check_environment(self, error: Exception, save: bool = True) -> None:
    """Saves and stops if ``error`` says that the environment failed."""
    reason = failure(error)
    if reason is None:
      return
    if save:
      self.save_what_is_not()
    raise EnvironmentStopped(
      f"Training stopped after step {self.step}: {reason.rstrip('.')}. The newest checkpoint "
      f"in {self.folder.checkpoints} is {'none' if self.saved is None else self.saved}."
    ) from error

  def _over(self, i: int) -> bool:
    """Tells whether a seed has come to its end."""
    if self.schedule.total_episodes:
      return self.records[i].episodes >= self.schedule.total_episodes
    return self.steps[i] >= self.schedule.total_steps

  def _check_abreast(self) -> None:
    """Refuses what a checkpoint, which is of one step, could not be resumed from."""
    going = {steps for i, steps in enumerate(self.steps) if not self._over(i)}
    if len(going) > 1:
      raise ValueError(
        f"The seeds have fallen behind each other, after steps {sorted(going)}: where episodes "
        "end early and the algorithm learns after each, several seeds need make_step(steps=1)."
      )

  def _expected(self, ended: list[tuple[int, Episode, Row]]) -> int:
    """Estimates the steps of the whole run: episodes to come are as long as the last ones."""
    for i, episode, _ in ended:
      self.recent[i].append(episode.length)
    total, longest = self.schedule.total_episodes, self.schedule.total_steps
    left = [max(total - record.episodes, 0) for record in self.records]
    length = [np.mean(recent) if recent else longest / total for recent in self.recent]
    return round(max(n + k * t for n, k, t in zip(self.steps, left, length, strict=True)))

  def _check(self, state: TrainState, steps: list[Arrays], updates: list[Row]) -> None:
    """Stops before a non-finite number is stored, leaving the state before it."""
    found = [nonfinite.first_nonfinite(arrays, {}) for arrays in steps]
    found += [nonfinite.first_nonfinite({}, update) for update in updates]
    found += [f"parameter {p}" for p in nonfinite.nan_leaves(state) if p not in self.born_nan]
    broken = next((name for name in found if name), None)
    if broken is None:
      return
    self.save_what_is_not()
    raise Diverged(
      f"Training stopped: {broken} is not finite after step {self.step}. The last finite "
      f"state is checkpoint {self.step} in {self.folder.checkpoints}."
    )

  def _log(
    self, ended: list[tuple[int, Episode, Row]], timing: Row, evaluated: dict[int, Row]
  ) -> None:
    """Writes down the episodes that a chunk ended, evaluations with the last of each seed."""
    last = {i: episode.step for i, episode, _ in ended}
    shown: dict[int, list[Row]] = {i: [] for i in last}
    for i, episode, row in sorted(ended, key=lambda e: (e[1].step, e[0])):
      learned = {f"model/{k}": v for k, v in self.records[i].update.items()}
      found = evaluated.get(i, {}) if episode.step == last[i] else {}
      row = {**self._seed(i), **row, **learned, **found}
      self.writer.write(episode.step, row, {**self._seed(i), **timing})
      shown[i].append({**row, "step": episode.step})
      if row.get("planner/nonfinite"):
        self.progress.note(
          f"warning: {row['planner/nonfinite']:.0f} plans had no finite return and were ignored"
        )
      if row.get("planner/masked_actions"):
        self.progress.note(
          f"warning: {row['planner/masked_actions']:.0f} actions were not finite; the middle "
          "of the bounds was taken"
        )
      if row.get("planner/nonfinite_transitions"):
        self.progress.note(
          f"warning: {row['planner/nonfinite_transitions']:.0f} transitions were not finite "
          "and were not stored"
        )
      if self.schedule.keep_rollouts:
        self.rollouts[i].add(episode)
      predictions.save(self.folder, self.seeds and self.seeds[i], row, episode)
    for i, rows in shown.items():
      steps = [int(row["step"]) for row in rows]
      self.progress.trials(steps, rows, timing, self.records[i].error())

  def _log_evaluations(self, evaluated: dict[int, Row]) -> None:
    """Writes down evaluations that belong to no episode."""
    for i, found in evaluated.items():
      row = {**self._seed(i), **found}
      self.writer.evaluation(self.step, row)
      self.progress.evaluation(self.step, row)

  def _seed(self, i: int) -> Row:
    return {"seed": self.seeds[i]} if self.seeds else {}

  def _evaluate(
    self, before: int, ended: list[tuple[int, Episode, Row]], evaluate: Callable | None
  ) -> dict[int, Row]:
    """Returns the evaluations of the seeds for which one is due."""
    due = self._evaluations_due(before, ended)
    if evaluate is None or not due:
      return {}
    try:
      returns = np.atleast_2d(evaluate(self.state, self.step))
    except Exception as error:
      self.check_environment(error, save=False)
      raise
    return {
      i: {"eval/return": float(np.mean(r)), "eval/return_std": float(np.std(r))}
      for i, r in enumerate(returns.astype(np.float64))
      if i in due
    }

  def _evaluations_due(self, before: int, ended: list[tuple[int, Episode, Row]]) -> set[int]:
    """Returns the seeds whose trials reach the next evaluation, or all if the steps do."""
    every, steps = self.schedule.eval_every, self.schedule.eval_steps
    if steps:
      due = self.step // steps > before // steps
      return set(range(len(self.records))) if due else set()
    trials = [(i, int(row["trial"])) for i, _, row in ended if every and not row["random"]]
    return {i for i, trial in trials if trial % every == 0}

  def _checkpoint_due(self, before: int, ended: list[tuple[int, Episode, Row]]) -> bool:
    """Tells whether the steps, or an episode of some seed, reach the next checkpoint."""
    every, steps = self.schedule.checkpoint_every, self.schedule.checkpoint_steps
    if steps:
      return self.step // steps > before // steps
    new = collections.Counter(i for i, *_ in ended)
    counts = ((record.episodes, new[i]) for i, record in enumerate(self.records))
    return any(count // every > (count - more) // every for count, more in counts)

  def _score(
    self, ended: list[tuple[int, Episode, Row]], evaluated: dict[int, Row]
  ) -> float | None:
    """Returns what decides the best checkpoint: the mean over seeds of the latest return."""
    if self.schedule.evaluates:
      values = [row["eval/return"] for row in evaluated.values()]
    else:
      values = [row["return"] for _, _, row in ended if not row["random"]]
    return float(np.mean(values)) if values else None


def _by_seed(arrays: Arrays, seeds: list[int] | None) -> list[Arrays]:
  """Splits the leading seed axis, where there is one, into a list."""
  if seeds is None:
    return [arrays]
  return [{k: np.asarray(v)[i] for k, v in arrays.items()} for i in range(len(seeds))]


def _taken(metrics: Metrics, seeds: list[int] | None) -> tuple[list, list, list]:
  """Returns per-step arrays, ``done`` and returns of each seed, as far as it moved."""
  taken = np.atleast_2d(metrics["taken"])
  arrays = _by_seed(series(metrics), seeds)
  steps = [{k: v[t] for k, v in a.items()} for a, t in zip(arrays, taken, strict=True)]
  flags = (np.atleast_2d(metrics[name]) for name in ("done", "episode_return"))
  done, returns = ([x[t] for x, t in zip(rows, taken, strict=True)] for rows in flags)
  return steps, done, returns
