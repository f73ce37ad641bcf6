"""Compares planners over exact models, all in the same loop.

  python -m experiments.compare
  python -m experiments.compare --what=samples
  python -m experiments.compare --envs=pendulum --planners=cem,icem --iterations=5 --seeds=20
  python -m experiments.compare --planners=cem,mppi --set cem.samples=128 mppi.temperature=0.3

--what=planners: the return of every planner, by how much it is behind the best one, what a plan
takes and how many model steps it needs. --what=samples: the return of mirror descent over the
number of samples, at several step sizes; those below 1 should win where samples are few.

The plant is the task itself and the model is exact, so only planning is compared. Seeds draw
initial states and random numbers, the same for every planner. The results are written after
every row. The settings of the loop stand in experiments/compare/tasks.py; those of a planner
are its factory's, which --set changes (experiments.plan --help --planner=NAME lists them).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import rich.console
import rich.table
from absl import flags

from experiments.command_line import cli, outputs
from experiments.command_line.flag_checks import check_different
from experiments.command_line.flag_error import flag_error
from experiments.compare import episodes, results
from experiments.compare.tasks import LOOPS, ClosedLoop, CompareTask, make_task
from experiments.plan.setup import make_search
from mbrl_jax.ops.validate import between, choice, positive
from mbrl_jax.planners import SEARCHES, mirror_descent
from mbrl_jax.runtime.training.progress import duration


class Comparison(NamedTuple):
  """One value of --what.

  Attributes:
    seeds: episodes of each by default.
    jobs: ``(flags) -> [(label, (task, loop, seeds) -> rows)]``.
    finish: adds to the rows what depends on all of them.
    table, draw: present the rows.
  """

  seeds: int
  jobs: Callable[[flags.FlagValues], list[tuple[str, Callable]]]
  finish: Callable[[list[results.Row]], list[results.Row]]
  table: Callable[[list[results.Row]], rich.table.Table]
  draw: Callable[[Path, list[results.Row]], Path]


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_enum("what", "planners", list(COMPARISONS), "What to compare.")
  flags.DEFINE_list("envs", list(LOOPS), "Tasks.")
  flags.DEFINE_list("planners", list(SEARCHES), "Planners, for --what=planners.")
  flags.DEFINE_multi_string(
    "set", [], "Settings of planners, for --what=planners: --set PLANNER.NAME=VALUE ..."
  )
  flags.DEFINE_list("samples", ["4", "8", "16", "32", "64", "128"], "For --what=samples.")
  flags.DEFINE_list("step_sizes", ["0.25", "0.5", "0.75", "1"], "For --what=samples.")
  flags.DEFINE_integer("seeds", None, "Episodes of each. Default: planners 10, samples 40.", 1)
  flags.DEFINE_integer("episode", None, "Control steps of an episode. Default: the task's.", 1)
  flags.DEFINE_integer("horizon", None, "Control steps of a plan. Default: the task's.", 1)
  flags.DEFINE_integer(
    "knots", None, "Knots of a plan, 0: all actions. Default: the task's.", 0
  )
  flags.DEFINE_integer("iterations", None, "In each control step. Default: the task's.", 1)
  flags.DEFINE_string("out", None, "Result files, without suffix. Default: in results/.")


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Compares; returns the exit status."""
  cli.refuse(dotted)
  out = Path(options.out or f"experiments/results/compare_{options.what}")
  console = cli.console(width=120)  # nothing of a table is cut off in a file
  for suffix in (".csv", ".png"):
    outputs.check_file(Path(f"{out}{suffix}"))
  comparison = COMPARISONS[options.what]
  for name, what in BELONGS.items():
    if options[name].present and options.what != what:
      raise cli.UsageError(f"--{name} belongs to --what={what}.")
  try:
    for name in ("envs", *BELONGS):
      check_different(f"--{name}", options[name].value)
    tasks = [make_task(name) for name in options.envs]
    jobs = comparison.jobs(options)
    rows = _run(console, comparison, tasks, jobs, options, out)
  except ValueError as error:
    raise flag_error(error) from error
  console.print(comparison.table(rows))
  for suffix in (".csv", ".png"):
    console.print(f"wrote {out}{suffix}", markup=False)
  return 0


def _run(
  console: rich.console.Console,
  comparison: Comparison,
  tasks: list[CompareTask],
  jobs: list[tuple[str, Callable]],
  options: flags.FlagValues,
  out: Path,
) -> list[results.Row]:
  """Runs all jobs on all tasks and writes after each."""
  rows: list[results.Row] = []
  begun, total = time.perf_counter(), len(tasks) * len(jobs)
  for done, (task, (label, job)) in enumerate(((t, j) for t in tasks for j in jobs), 1):
    loop = _loop(task.loop, options)
    start = time.perf_counter()
    new = job(task, loop, options.seeds or comparison.seeds)
    now = time.perf_counter()
    rows = comparison.finish([*rows, *new])
    results.write_csv(Path(f"{out}.csv"), rows)
    comparison.draw(Path(f"{out}.png"), rows)
    values = " ".join(f"{row['return']:9.2f} ± {row['error']:5.2f}" for row in new)
    eta = duration((total - done) * (now - begun) / done)
    console.print(
      f"{done:3}/{total} {task.env.spec.name:9} {label:20} return {values} | "
      f"{now - start:5.1f} s | ETA {eta}",
      markup=False,
    )
  return rows


def _loop(loop: ClosedLoop, options: flags.FlagValues) -> ClosedLoop:
  """Returns the task's settings, changed where flags say so."""
  given = {name: options[name].value for name in ClosedLoop._fields}
  return loop._replace(**{name: value for name, value in given.items() if value is not None})


def _columns(task: CompareTask, loop: ClosedLoop, **more: Any) -> results.Row:
  return {"env": task.env.spec.name, **more, **loop._asdict()}


def _planner_jobs(options: flags.FlagValues) -> list[tuple[str, Callable]]:
  """Makes one job for each planner."""
  names = [choice("--planners", name, SEARCHES) for name in options.planners]
  given = _given(options.set, names)
  searches = {}
  for name in names:
    try:
      searches[name] = make_search(name, given[name], f"--set {name}.")
    except ValueError as error:
      raise flag_error(error, f"--set {name}.") from error

  def make(name: str) -> Callable:
    def job(task: CompareTask, loop: ClosedLoop, seeds: int) -> list[results.Row]:
      search = searches[name]
      planner = episodes.build(task, search, loop)
      values = episodes.returns(task, planner, loop.episode, seeds)
      cost = episodes.measure(task, planner, search, loop)
      said = {"settings": " ".join(f"{k}={v}" for k, v in given[name].items())}
      more = _statistics(values) | (said if options.set else {})
      row = _columns(task, loop, planner=name, seeds=seeds, **more)
      return [{**row, "plan_seconds": cost.seconds, "model_steps": cost.model_steps}]

    return job

  return [(name, make(name)) for name in names]


def _given(texts: list[str], planners: list[str]) -> dict[str, dict[str, str]]:
  """Reads ``PLANNER.NAME=VALUE`` into a dictionary for each planner."""
  given: dict[str, dict[str, str]] = {name: {} for name in planners}
  for text in texts:
    left, equals, value = text.partition("=")
    planner, dot, name = left.partition(".")
    if not (equals and dot):
      raise ValueError(f"--set {text!r} is not PLANNER.NAME=VALUE.")
    given[choice("--set", planner, planners)][name] = value
  return given


def _sample_jobs(options: flags.FlagValues) -> list[tuple[str, Callable]]:
  """Makes one job for each number of samples; it runs all step sizes at once."""
  sizes = [_number("--samples", int, text) for text in options.samples]
  steps = sorted({*(_number("--step_sizes", float, text) for text in options.step_sizes), 1.0})
  for step in steps:
    between(0.0, 1.0, step_sizes=step)

  def make(samples: int) -> Callable:
    positive(samples=samples)

    def job(task: CompareTask, loop: ClosedLoop, seeds: int) -> list[results.Row]:
      search = mirror_descent(samples)
      planner = episodes.build(task, search, loop)
      values = episodes.returns_of_step_sizes(task, planner, loop.episode, seeds, steps)
      return [
        _columns(
          task,
          loop,
          samples=samples,
          step_size=step,
          seeds=seeds,
          **_statistics(own),
          gain=float((own - values[-1]).mean()),
          gain_error=results.standard_error(own - values[-1]),
        )
        for step, own in zip(steps, values, strict=True)
      ]

    return job

  return [(f"{samples} samples", make(samples)) for samples in sizes]


def _statistics(values: Any) -> dict[str, float]:
  return {"return": float(values.mean()), "error": results.standard_error(values)}


def _number(flag: str, kind: Callable[[str], Any], text: str) -> Any:
  try:
    return kind(text)
  except ValueError as error:
    raise cli.UsageError(f"{flag}={text} is no {kind.__name__}.") from error


BELONGS = {
  "planners": "planners",
  "set": "planners",
  "samples": "samples",
  "step_sizes": "samples",
}
"""Flags that one --what reads alone."""
COMPARISONS = {
  "planners": Comparison(
    10, _planner_jobs, results.rank, results.planner_table, results.draw_planners
  ),
  "samples": Comparison(
    40, _sample_jobs, lambda rows: rows, results.sample_table, results.draw_samples
  ),
}

if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="set")
