"""Reads the trajectories of an agent that follows a path, and measures them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.command_line import outputs
from experiments.mbmf import aggregations
from experiments.mbmf.agents import AGENTS, Follow
from mbrl_jax.envs.tasks.mbmf import waypoints
from mbrl_jax.runtime.storage import rollouts
from mbrl_jax.runtime.storage.run_folder import RunFolder

COLUMNS = (
  *("agent", "path", "seed", "step", "aggregation", "progress"),
  *("distance_m", "distance_body_lengths", "return"),
)


class Drive(NamedTuple):
  """A rollout of the planner along a path.

  Attributes:
    agent, path: their names.
    seed: of the run.
    step: environment steps of the run at its end.
    fit: number of the model's fit, from 0.
    points: way-points ``[W, 2]``, metres.
    places: centre of mass relative to the start ``[T+1, 2]``, metres.
    progress: largest share of the path's length that was reached, 0 to 1.
    distance: mean distance from the active segment, metres.
    total: its return.
  """

  agent: str
  path: str
  seed: int
  step: int
  fit: int
  points: np.ndarray
  places: np.ndarray
  progress: float
  distance: float
  total: float

  @property
  def body_lengths(self) -> float:
    """The mean distance in body lengths."""
    return self.distance / AGENTS[self.agent].follow.body_length


def read(path: Path) -> list[Drive]:
  """Reads the planner's rollouts of a model stage; empty if there are none.

  Args:
    path: the run folder, of a task of an agent that follows a path.

  Raises:
    RunFolderError: a file is damaged.
  """
  folder = RunFolder(path)
  config, source = folder.config(), folder.logs().with_suffix(".npz")
  name = agent_of(config["env"])
  if name is None or not source.exists():
    return []
  follow = AGENTS[name].follow
  chosen = config["env_overrides"].get("path", "straight")
  points = follow.paths[chosen].points
  numbers = {each.step: each.fit for each in aggregations.rollouts(folder.metrics)}
  logs, found = rollouts.read(source), []
  for i, length in enumerate(logs["lengths"]):
    if logs["random"][i]:
      continue
    step = int(logs["steps"][i])
    places, progress, distance = measure(follow, points, logs["observations"][i, : length + 1])
    total = float(logs["rewards"][i, :length].sum(dtype=np.float64))
    where = name, chosen, config["seed"], step, numbers.get(step, 0)
    found.append(Drive(*where, points, places, progress, distance, total))
  return found


def agent_of(task: str) -> str | None:
  """Returns the agent that follows paths in a task, ``None`` if none does."""
  known = {each.follow.task: name for name, each in AGENTS.items() if each.follow}
  return known.get(task)


def measure(
  follow: Follow, points: np.ndarray, observations: np.ndarray
) -> tuple[np.ndarray, float, float]:
  """Measures a trajectory.

  Args:
    follow: how the agent follows paths.
    points: way-points ``[W, 2]``, metres.
    observations: ``[T+1, O]``.

  Returns:
    Places relative to the start ``[T+1, 2]``, progress and mean distance, see ``Drive``.
  """
  segment, start = observations[:, follow.size], observations[:, follow.size + 1 :][:, :2]
  mass = observations[:, follow.size - 6 :][:, list(follow.plane)]
  places = mass - start
  each = lambda function: np.asarray(
    jax.vmap(lambda s, p: function(points, s, p))(segment, places), np.float64
  )
  lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
  along = np.concatenate([[0.0], np.cumsum(lengths)])
  reached = np.interp(each(waypoints.travelled), np.arange(len(points)), along)
  progress = float(reached.max() / along[-1])
  return places, progress, float(each(waypoints.distance).mean())


def row(drive: Drive) -> dict[str, Any]:
  """Returns the row of a table."""
  values = (
    *(drive.agent, drive.path, drive.seed, drive.step, drive.fit, f"{drive.progress:.4f}"),
    *(f"{drive.distance:.4f}", f"{drive.body_lengths:.4f}", f"{drive.total:.6g}"),
  )
  return dict(zip(COLUMNS, values, strict=True))


def write(path: Path, drives: Iterable[Drive]) -> Path:
  """Writes a row for each rollout as a CSV file."""
  return outputs.write_csv(path, COLUMNS, map(row, drives))


def last(drives: Sequence[Drive]) -> list[Drive]:
  """Returns the rollouts after the last fit of each agent, path and seed."""
  newest: dict[tuple[str, str, int], int] = {}
  for each in drives:
    key = each.agent, each.path, each.seed
    newest[key] = max(each.fit, newest.get(key, 0))
  return [each for each in drives if each.fit == newest[each.agent, each.path, each.seed]]
