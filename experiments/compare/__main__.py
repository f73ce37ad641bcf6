"""Compares planners over exact models in the same closed loop.

  python -m experiments.compare
  python -m experiments.compare --what=samples
  python -m experiments.compare --envs=pendulum --planners=cem,icem --iterations=5 --seeds=20
  python -m experiments.compare --planners=cem,mppi --set cem.samples=128 mppi.temperature=0.3

--what=planners reports for every planner the return, its distance from the best planner, the
time of a plan and its number of model steps. --what=samples reports the return of mirror
descent over the number of samples, at several step sizes; sizes below 1 should win for few
samples.

The plant is the task itself and the model is exact, so only planning is compared. Every
planner has the same initial states and random numbers. The results are written after every
row. experiments/compare/tasks.py holds the settings of the loop; planners have the defaults of
their factories, which --set changes (experiments.plan --help --planner=NAME lists them).
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
    seeds: default number of episodes of each case.
    jobs: ``(flags) -> [(label, (task, loop, seeds) -> rows)]``.
    finish: adds columns that depend on all rows.
    table, draw: make the table and the picture of the rows.
  """

  seeds: int
  jobs: Callable[[flags.FlagValues], list[tuple[str, Callable]]]
  finish: Callable[[list[results.Row]], list[results.Row]]
  table: Callable[[list[results.Row]], rich.table.Table]
  draw: Callable[[Path, list[results.Row]], Path]


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_enum("what", "planners", list(COMPARISONS), "What to compare.")
  flags.DEFINE_list("envs", list(LOOPS), "Tasks to compare on.")
  flags.DEFINE_list("planners", list(SEARCHES), "Planners to compare, for --what=planners.")
  flags.DEFINE_multi_string(
    "set", [], "Settings of planners, PLANNER.NAME=VALUE, for --what=planners"
  )
  flags.DEFINE_list(
    "samples", ["4", "8", "16", "32", "64", "128"], "Numbers of samples, for --what=samples."
  )
  flags.DEFINE_list(
    "step_sizes", ["0.25", "0.5", "0.75", "1"], "Step sizes, for --what=samples."
  )
  flags.DEFINE_integer(
    "seeds", None, "Episodes per case. Default: 10 for planners, 40 for samples.", 1
  )
  flags.DEFINE_integer("episode", None, "Control steps of an episode. Default: the task's.", 1)
  flags.DEFINE_integer("horizon", None, "Control steps of a plan. Default: the task's.", 1)
  flags.DEFINE_integer(
    "knots", None, "Knots of a plan; 0: every action. Default: the task's.", 0
  )
  flags.DEFINE_integer(
    "iterations", None, "Iterations per control step. Default: the task's.", 1
  )
  flags.DEFINE_string(
    "out", None, "Output files without suffix. Default: experiments/results/compare_WHAT."
  )


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Runs the comparison; returns the exit status."""
  cli.refuse(dotted)
  out = Path(options.out or f"experiments/results/compare_{options.what}")
  console = cli.console(width=120)  # wide enough that tables are not truncated in a file
  for suffix in (".csv", ".png"):
    outputs.check_file(Path(f"{out}{suffix}"))
  comparison = COMPARISONS[options.what]
  for name, what in REQUIRED_WHAT.items():
    if options[name].present and options.what != what:
      raise cli.UsageError(f"--{name} requires --what={what}.")
  try:
    for name in ("envs", *REQUIRED_WHAT):
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
  """Runs all jobs on all tasks; writes the results after each."""
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
  """Returns the task's settings with those of the flags."""
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
      settings = {"settings": " ".join(f"{k}={v}" for k, v in given[name].items())}
      more = _statistics(values) | (settings if options.set else {})
      row = _columns(task, loop, planner=name, seeds=seeds, **more)
      return [{**row, "plan_seconds": cost.seconds, "model_steps": cost.model_steps}]

    return job

  return [(name, make(name)) for name in names]


def _given(texts: list[str], planners: list[str]) -> dict[str, dict[str, str]]:
  """Parses ``PLANNER.NAME=VALUE`` to a dictionary for each planner."""
  given: dict[str, dict[str, str]] = {name: {} for name in planners}
  for text in texts:
    left, equals, value = text.partition("=")
    planner, dot, name = left.partition(".")
    if not (equals and dot):
      raise ValueError(f"--set {text!r} must have the form PLANNER.NAME=VALUE.")
    given[choice("--set", planner, planners)][name] = value
  return given


def _sample_jobs(options: flags.FlagValues) -> list[tuple[str, Callable]]:
  """Makes one job for each number of samples, which runs all step sizes at once."""
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
    raise cli.UsageError(f"{flag}={text} must be of type {kind.__name__}.") from error


REQUIRED_WHAT = {
  "planners": "planners",
  "set": "planners",
  "samples": "samples",
  "step_sizes": "samples",
}
"""The value of ``--what`` that a flag requires."""
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
