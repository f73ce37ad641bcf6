"""Measures speed and memory, beside mbrl-lib where it is installed.

  python -m experiments.benchmark --what=peak,plan,fit,memory,env
  python -m experiments.benchmark --what=peak,plan,fit --peer=mbrl --peer_python=peer/bin/python

What is measured:
  peak    float32 multiply-add peak of all cores, the ceiling of the fractions below
  plan    one PETS planning step (default: the original's cart-pole setting, 1,014 GFLOP)
  fit     one training call of the ensemble
  memory  what planning needs above the process' start, and whether new parameters compile
  env     environment steps per second

Libraries run in processes of their own and take turns, round by round, so that the ratios
come from one run: machines are noisy, only such ratios count. The table, and every single
round, go to --out.json and --out.csv. Smaller jobs: --plans=100 --hidden=200,200.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import rich.console
import rich.table
from absl import app, flags

import mbrl_jax
from experiments.peers.peak import Peak
from experiments.peers.protocol import Sizes, Worker, WorkerError

WHAT = ("peak", "plan", "fit", "memory", "env")
OURS = "experiments.peers.ours"
DTYPES = ("float32", "bfloat16")
PEERS = {"mbrl": "experiments.peers.mbrl_lib"}
_DEFAULT = Sizes()

FLAGS = flags.FLAGS
flags.DEFINE_list("what", list(WHAT), f"What to measure, among {', '.join(WHAT)}.")
flags.DEFINE_enum("peer", "none", ["none", *PEERS], "Library to do the same work beside ours.")
flags.DEFINE_string("peer_python", sys.executable, "Python in which the peer is installed.")
flags.DEFINE_integer("rounds", 3, "Times that everybody takes a turn.", lower_bound=1)
flags.DEFINE_list("dtypes", list(DTYPES), "Precisions of our planning step.")
flags.DEFINE_list("envs", ["pendulum", "cartpole"], "Tasks that --what=env steps.")
flags.DEFINE_list("hidden", [str(h) for h in _DEFAULT.hidden], "Width of each hidden layer.")
for _field in dataclasses.fields(Sizes):
  if _field.name not in ("hidden", "elites"):
    _help = f"Size of the job: {_field.name}."
    flags.DEFINE_integer(_field.name, _field.default, _help, lower_bound=1)
flags.DEFINE_string("out", "experiments/results/benchmark", "Result files, without suffix.")


@dataclasses.dataclass
class Report:
  """Collects rows for the table and every single measurement.

  Attributes:
    rows: ``(what, system, figure, value, unit)``.
    rounds: raw values by ``what/system``, in order.
  """

  rows: list[tuple[str, str, str, float, str]] = dataclasses.field(default_factory=list)
  rounds: dict[str, list[float]] = dataclasses.field(default_factory=dict)

  def add(self, what: str, system: str, figure: str, value: float, unit: str) -> None:
    """Adds a row."""
    self.rows.append((what, system, figure, value, unit))

  def record(self, what: str, system: str, value: float) -> None:
    """Keeps one raw value."""
    self.rounds.setdefault(f"{what}/{system}", []).append(value)

  def median(self, what: str, system: str) -> float:
    """Returns the median of the raw values, NaN without any."""
    values = self.rounds.get(f"{what}/{system}")
    return statistics.median(values) if values else float("nan")


@contextlib.contextmanager
def entrants(precisions: list[str]) -> Iterator[dict[str, tuple[Worker, str]]]:
  """Starts our workers, one a precision, and the peer's: name -> ``(worker, dtype)``."""
  with contextlib.ExitStack() as stack:
    started = {
      f"mbrl_jax {dtype}": (stack.enter_context(Worker(OURS)), dtype) for dtype in precisions
    }
    if FLAGS.peer != "none":
      worker = stack.enter_context(Worker(PEERS[FLAGS.peer], FLAGS.peer_python))
      started[worker.ask("info")["name"]] = (worker, "float32")
    yield started


def measure_peak(report: Report, peak: Peak) -> None:
  """Measures the ceiling a few times."""
  for _ in range(FLAGS.rounds):
    report.record("peak", "machine", peak.measure())
  report.add("peak", "machine", peak.source, report.median("peak", "machine") / 1e9, "GFLOP/s")


def measure_plan(report: Report, sizes: Sizes, peak: Peak) -> None:
  """Lets everybody plan, in turns, with the peak measured in each turn."""
  with entrants(FLAGS.dtypes) as started:
    for system, (worker, dtype) in started.items():
      built = worker.ask("setup_plan", sizes=sizes, dtype=dtype)
      if built["compile_seconds"]:
        report.add("plan", system, "compile", built["compile_seconds"], "s")
    for _ in range(FLAGS.rounds):
      report.record("plan peak", "machine", peak.measure())
      for system, (worker, _) in started.items():
        report.record("plan", system, _seconds(worker.ask("plan"), "plan", system))
  ceiling = report.median("plan peak", "machine")
  for system in started:
    rate = sizes.plan_flops / report.median("plan", system)
    report.add("plan", system, "one planning step", report.median("plan", system), "s")
    report.add("plan", system, "rate", rate / 1e9, "GFLOP/s")
    report.add("plan", system, "of the measured float32 peak", rate / ceiling, "")
  _add_ratios(report, "plan", list(started))


def measure_fit(report: Report, sizes: Sizes) -> None:
  """Lets everybody train, in turns."""
  with entrants(["float32"]) as started:
    for system, (worker, _) in started.items():
      built = worker.ask("setup_fit", sizes=sizes)
      if built["compile_seconds"]:
        report.add("fit", system, "compile", built["compile_seconds"], "s")
    for _ in range(FLAGS.rounds):
      for system, (worker, _) in started.items():
        report.record("fit", system, _seconds(worker.ask("fit"), "fit", system))
  for system in started:
    rate = sizes.fit_samples / report.median("fit", system)
    report.add("fit", system, "rows (members x points x epochs)", rate, "1/s")
  _add_ratios(report, "fit", list(started))


def measure_memory(report: Report, sizes: Sizes) -> None:
  """Plans in a fresh process: memory above its start, compilations on new parameters."""
  with entrants(["float32"]) as started:
    for system, (worker, _) in started.items():
      start = worker.ask("memory")["now"]
      worker.ask("setup_plan", sizes=sizes)
      worker.ask("plan")
      if system.startswith("mbrl_jax"):
        compiled = worker.ask("plan", new_params=True)["compilations"]
        report.add("memory", system, "compilations on new parameters", compiled, "")
      peak = worker.ask("memory")["peak"]
      report.add("memory", system, "peak above the process' start", peak - start, "MiB")


def measure_env(report: Report) -> None:
  """Steps environments one at a time, as a run does."""
  with Worker(OURS) as worker:
    for name in FLAGS.envs:
      for physics in worker.ask("physics", name=name)["physics"]:
        answer = worker.ask("env", name=name, physics=physics)
        report.add("env", f"{name} {physics}".strip(), "steps", answer["rate"], "1/s")
        report.add(
          "env", f"{name} {physics}".strip(), "compile", answer["compile_seconds"], "s"
        )


def _seconds(answer: dict[str, Any], what: str, system: str) -> float:
  """Returns the time of an answer whose numbers are sound.

  Raises:
    WorkerError: the job produced a non-finite number; its time means nothing.
  """
  if not answer["finite"]:
    raise WorkerError(f"{system} produced a non-finite number in {what!r}.")
  return answer["seconds"]


def _add_ratios(report: Report, what: str, systems: list[str]) -> None:
  """Adds how many times faster than the peer each of ours is."""
  if FLAGS.peer == "none":
    return
  *ours, peer = systems
  for system in ours:
    ratio = report.median(what, peer) / report.median(what, system)
    report.add(what, system, f"times {peer}", ratio, "x")


def machine() -> dict[str, Any]:
  """Describes the machine and the versions, without its name."""
  from importlib.metadata import version

  cpu = platform.processor() or platform.machine()
  with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
    models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    cpu = models[0] if models else cpu
  packages = ("jax", "jaxlib", "numpy", "mujoco", "mujoco-mjx")
  return {
    "cpu": cpu,
    "cores": os.cpu_count(),
    "python": platform.python_version(),
    "date": datetime.date.today().isoformat(),
    **{name: version(name) for name in packages},
  }


def write(report: Report, sizes: Sizes, out: str) -> list[pathlib.Path]:
  """Writes ``out.json`` (everything) and ``out.csv`` (the table); returns the paths."""
  csv_path, json_path = pathlib.Path(f"{out}.csv"), pathlib.Path(f"{out}.json")
  csv_path.parent.mkdir(parents=True, exist_ok=True)
  columns = ("what", "system", "figure", "value", "unit")
  with csv_path.open("w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([columns, *report.rows])
  content = {
    "machine": machine(),
    "sizes": dataclasses.asdict(sizes),
    "plan_gflop": sizes.plan_flops / 1e9,
    "rows": [dict(zip(columns, row, strict=True)) for row in report.rows],
    "rounds": report.rounds,
  }
  json_path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
  return [csv_path, json_path]


def show(report: Report) -> None:
  """Prints the table."""
  table = rich.table.Table(title="mbrl_jax benchmark")
  for column in ("what", "system", "figure"):
    table.add_column(column)
  table.add_column("value", justify="right")
  for what, system, figure, value, unit in report.rows:
    table.add_row(
      what, system, figure, f"{value:,.4g} {unit}" if value < 1e4 else f"{value:,.0f} {unit}"
    )
  rich.console.Console().print(table)


def sizes_from_flags() -> Sizes:
  """Reads the job's sizes; the elites are a tenth of the plans.

  Raises:
    app.UsageError: a size that does not parse or does not fit the others.
  """
  try:
    hidden = tuple(int(width) for width in FLAGS.hidden)
  except ValueError as error:
    raise app.UsageError(f"--hidden takes widths such as 200,200: {error}") from error
  names = [f.name for f in dataclasses.fields(Sizes) if f.name not in ("hidden", "elites")]
  sizes = Sizes(
    hidden=hidden, elites=max(FLAGS.plans // 10, 1), **{n: FLAGS[n].value for n in names}
  )
  if sizes.particles % sizes.members:
    raise app.UsageError(
      f"--particles={sizes.particles} must be a multiple of --members={sizes.members}."
    )
  return sizes


def check_choices(name: str, valid: Sequence[str]) -> None:
  """Raises ``app.UsageError`` if a list flag has an entry that is not valid."""
  for value in FLAGS[name].value:
    if value not in valid:
      choices = ", ".join(valid)
      raise app.UsageError(f"--{name}={value} is not known; choose among {choices}.")


def main(argv: list[str]) -> None:
  """Measures what the flags ask for; shows and writes the results."""
  if argv[1:]:
    raise app.UsageError(
      f"takes flags only, got {argv[1]!r}; lists are written --what=plan,fit."
    )
  check_choices("what", WHAT)
  check_choices("dtypes", DTYPES)
  check_choices("envs", mbrl_jax.list_envs())
  sizes, report = sizes_from_flags(), Report()
  try:
    with Peak() as peak:
      jobs = {
        "peak": lambda: measure_peak(report, peak),
        "plan": lambda: measure_plan(report, sizes, peak),
        "fit": lambda: measure_fit(report, sizes),
        "memory": lambda: measure_memory(report, sizes),
        "env": lambda: measure_env(report),
      }
      for what in FLAGS.what:
        jobs[what]()
  except WorkerError as error:
    raise SystemExit(f"benchmark: {error}") from error
  show(report)
  for path in write(report, sizes, FLAGS.out):
    print(path)


if __name__ == "__main__":
  app.run(main)
