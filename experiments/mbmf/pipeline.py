"""Runs the stages of all seeds, one at a time, and reports progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import rich.console

from experiments.mbmf import commands
from experiments.mbmf.stages import SeedStages
from experiments.sweep.processes import Process, environment
from experiments.sweep.schedule import POLL_SECONDS
from mbrl_jax.runtime.training.interrupt import Interrupt
from mbrl_jax.runtime.training.progress import duration


class End(NamedTuple):
  """How a pipeline ended.

  Attributes:
    stage: the stage in which it ended early, ``None``: all are done.
    seed: its seed.
    status: exit status of the stage's command.
  """

  stage: str | None = None
  seed: int = 0
  status: int = 0


def run(
  seeds: Sequence[SeedStages],
  chosen: Sequence[str],
  console: rich.console.Console,
  interrupt: Interrupt,
) -> End:
  """Runs the chosen stages of each seed that are not done, until one fails.

  Args:
    seeds: the stages of each seed.
    chosen: names of stages, in order.
    console: prints commands and progress; the output of the commands appears between.
    interrupt: once set, the running stage saves and the pipeline ends.
  """
  for i, seed in enumerate(seeds):
    for j, name in enumerate(chosen):
      where = f"seed {i + 1} of {len(seeds)}, stage {j + 1} of {len(chosen)}: {name}"
      if seed.done(name):
        console.print(f"{where}, done before", markup=False)
        continue
      if interrupt:
        return End(name, seed.request.seed)
      console.print(f"{where}, {_eta(seeds, chosen, i, j)}", markup=False)
      command = seed.command(name)
      console.print(commands.shown(command), markup=False)
      seed.request.folder.mkdir(parents=True, exist_ok=True)
      begun = time.perf_counter()
      status = _call(command, interrupt)
      if not seed.finish(name, time.perf_counter() - begun) or status:
        return End(name, seed.request.seed, status)
  return End()


def _call(command: Sequence[str], interrupt: Interrupt) -> int:
  """Runs a command; an interrupt asks it to save and end, a second one kills it."""
  process, stopping = Process(command, None, environment(1)), False
  try:
    while (status := process.poll()) is None:
      if interrupt and not stopping:
        stopping = True
        process.stop()
      time.sleep(POLL_SECONDS)
  finally:
    process.kill()
  return status


def _eta(seeds: Sequence[SeedStages], chosen: Sequence[str], i: int, j: int) -> str:
  """Estimates the time left from how long the stages took with other seeds."""
  later = [name for seed in seeds[i + 1 :] for name in chosen if not seed.done(name)]
  left = [*(name for name in chosen[j:] if not seeds[i].done(name)), *later]
  known = {name: [s for seed in seeds if (s := seed.seconds(name))] for name in chosen}
  if not all(known[name] for name in left):
    return "ETA unknown until each stage has run once"
  return f"ETA {duration(sum(sum(known[name]) / len(known[name]) for name in left))}"
