"""Groups combinations of a sweep by their compiled program; a group can train at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import jax
import rich.console
import rich.progress

from experiments import job
from experiments.command_line.config_flags import fields
from experiments.sweep.schedule import Run
from mbrl_jax.algorithms.step import init_state, make_evaluation
from mbrl_jax.runtime.storage.run_folder import flat

Pair = tuple[Run, job.Job]
"""A run and its job."""


def group_runs(
  runs: Sequence[Pair], most: int, jobs: int, console: rich.console.Console
) -> list[list[Run]]:
  """Groups runs whose programs are equal: they differ only in numbers of the training state.

  Args:
    runs: runs and their jobs.
    most: maximum size of a group.
    jobs: number of processes; a group is no larger than the share of one process.
    console: prints progress.
  """
  size = min(most, -(-len(runs) // jobs))
  found: list[list[Run]] = []
  for alike in _groups(runs, lambda pair: (pair[0].saved, _shape(pair[1]))):
    # Lowering takes seconds and is skipped for groups of one.
    alone = size == 1 or len(alike) == 1
    for group in [alike] if alone else _same_program(alike, console):
      members = [run for run, _ in group]
      found += [members[i : i + size] for i in range(0, len(members), size)]
  return found


def _same_program(pairs: list[Pair], console: rich.console.Console) -> list[list[Pair]]:
  console.print(f"comparing the programs of {len(pairs)} runs", markup=False)
  plain = not console.is_terminal
  watched = rich.progress.track(
    pairs, "comparing", console=console, transient=True, disable=plain
  )
  return _groups(watched, lambda pair: _program(pair[1]))


def _groups(pairs: Iterable[Pair], key: Callable[[Pair], Hashable]) -> list[list[Pair]]:
  """Groups pairs by a key; groups and members keep their order."""
  found: dict[Hashable, list[Pair]] = {}
  for pair in pairs:
    found.setdefault(key(pair), []).append(pair)
  return list(found.values())


def _shape(task: job.Job) -> str:
  """Returns all settings except floats of the config; if they differ, so do the programs."""
  floats = [name for name, field in fields(task.config).items() if field.type is float]
  config = {k: v for k, v in flat(task.settings["config"]).items() if k not in floats}
  return json.dumps({**task.settings, "config": config}, sort_keys=True)


def _program(task: job.Job) -> str:
  """Returns a digest of the lowered step and evaluation of one seed, including constants."""
  lone = task._replace(settings={**task.settings, "seeds": 1}, mesh=None)
  key = jax.random.key(0)
  state = jax.eval_shape(lambda key: init_state(task.algorithm, task.env, key, task.envs), key)
  params = jax.eval_shape(task.algorithm.params, state)
  evaluation = make_evaluation(task.algorithm, task.env)
  lowered: list[Any] = [lone.step().lower(state), evaluation.lower(params, key)]
  text = "".join(program.as_text() for program in lowered) + str(jax.tree.structure(state))
  return hashlib.sha256(text.encode()).hexdigest()
