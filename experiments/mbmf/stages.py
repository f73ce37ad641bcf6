"""Describes the stages, and records in each seed's folder which ones are done.

``stages.json`` of a seed's folder holds, for each stage, its command, the seconds that it took
and whether it is done. A stage that somebody made by hand is not listed there and counts as
done if its run is complete, or its file exists.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import job
from experiments.mbmf import commands
from experiments.sweep.schedule import Run
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.run_folder import RunFolder

RECORD = "stages.json"


class Stage(NamedTuple):
  """One stage.

  Attributes:
    name: its name.
    output: the file, or the run folder, that it makes in a seed's folder.
    needs: stages that must be done before.
    meaning: for ``--help``.
  """

  name: str
  output: str
  needs: tuple[str, ...]
  meaning: str

  @property
  def is_run(self) -> bool:
    """Whether the stage makes a run folder, which can be resumed."""
    return not self.output.endswith(".npz")


STAGES = {
  stage.name: stage
  for stage in (
    Stage("random", "random.npz", (), "rollouts of uniform actions"),
    Stage("model", "model", ("random",), "the model and its planner, with aggregation"),
    Stage("rollouts", "rollouts.npz", ("model",), "good rollouts of the planner"),
    Stage("imitation", "imitation", ("model", "rollouts"), "DAgger: a policy like the planner"),
    Stage("hybrid", "hybrid", ("imitation",), "TRPO from the imitated policy"),
    Stage("model_free", "model_free", (), "TRPO from scratch"),
  )
}
"""All stages in order."""
FOLLOWING = ("random", "model")
"""Stages of an agent that follows a path."""


class SeedStages:
  """The stages of one seed."""

  def __init__(self, request: commands.Request):
    """Reads what is done.

    Args:
      request: the seed, its folder and its agent.

    Raises:
      RunFolderError: the record is damaged.
    """
    self.request = request
    self._path = request.folder / RECORD
    self._record: dict[str, Any] = _read(self._path) if self._path.exists() else {}

  def output(self, name: str) -> Path:
    """Returns the path of what a stage makes."""
    return self.request.folder / STAGES[name].output

  def command(self, name: str) -> list[str]:
    """Returns the command that starts a stage, or resumes it if it has begun."""
    stage, words = STAGES[name], commands.words(name, self.request)
    begun = stage.is_run and (self.output(name) / "config.json").exists()
    return [*words, "--resume"] if begun else words

  def done(self, name: str) -> bool:
    """Returns whether a stage is done.

    A run that was made with other flags is not: resuming it extends or refuses it.

    Raises:
      RunFolderError: a file was made with other flags, or a run from which others were made.
      UsageError: a run made by hand is not of this version.
    """
    stage, output, entry = STAGES[name], self.output(name), self._record.get(name, {})
    if not output.exists():
      return False
    command = commands.shown(commands.words(name, self.request))
    same = entry.get("command", command) == command
    later = [each for each in made_from(name) if self.output(each).exists()]
    if not same and (later or not stage.is_run):
      lost = (
        "what was made from it" if not later else ", ".join(STAGES[x].output for x in later)
      )
      what = lost if stage.is_run else f"it and {lost}"
      raise RunFolderError(
        f"{output} was made by another command, {entry['command']}: delete {what}, or choose "
        f"another --out. Requested: {command}"
      )
    return same and (not stage.is_run or bool(entry.get("done")) or is_complete(output))

  def finish(self, name: str, seconds: float) -> bool:
    """Records a stage whose command has ended; returns whether it is done."""
    stage, output = STAGES[name], self.output(name)
    done = output.exists() and (not stage.is_run or is_complete(output))
    before = self._record.get(name, {}).get("seconds", 0.0)
    self._record[name] = {
      "command": commands.shown(commands.words(name, self.request)),
      "seconds": round(before + seconds, 1),
      "done": done,
    }
    files.write_json(self._path, self._record)
    return done

  def seconds(self, name: str) -> float | None:
    """Returns how long a done stage took, ``None`` if that is unknown."""
    entry = self._record.get(name, {})
    return entry.get("seconds") if entry.get("done") else None


def made_from(name: str) -> list[str]:
  """Returns the stages that build on one, directly or through others, in order."""
  found: list[str] = []
  for stage in STAGES.values():
    if {name, *found} & {*stage.needs}:
      found.append(stage.name)
  return found


def missing(seed: SeedStages, chosen: Sequence[str]) -> list[str]:
  """Returns the stages that chosen ones build on and that are neither chosen nor done.

  In order, with those that the missing ones need in turn.
  """
  wanted: set[str] = set()
  for name in reversed(STAGES):
    if (name in chosen and not seed.done(name)) or name in wanted:
      needs = set(STAGES[name].needs) - set(chosen)
      wanted |= {need for need in needs if not seed.done(need)}
  return [name for name in STAGES if name in wanted]


def is_complete(path: Path) -> bool:
  """Returns whether a run has a checkpoint of its last step."""
  if not (path / "config.json").exists():
    return False
  folder = RunFolder(path)
  task = job.build_run(folder)
  episodes = task.algorithm.budget.episodes * len(task.seeds or [0])
  return Run(path.name, folder, task.total_steps, episodes).complete


def _read(path: Path) -> dict[str, Any]:
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise RunFolderError(f"{path} is damaged: delete it, the stages stay.") from error
  if not isinstance(found, dict) or not all(isinstance(e, dict) for e in found.values()):
    raise RunFolderError(f"{path} is damaged: delete it, the stages stay.")
  return found
