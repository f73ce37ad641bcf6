"""Diagnoses model error, calibration, plans and critic bias of a run.

  python -m experiments.diagnose --run=runs/demo
  python -m experiments.diagnose --run=runs/hopper --episodes=20 --horizon=50 --best

Runs new episodes without exploration and compares them with the learned parts:

  model error   error of the particles' mean, k steps after a real state, under real actions;
                one such prediction against the truth, for each dimension (open_loop)
  calibration   share of real next states inside the intervals of the particles
  plans         return that the model predicts for a plan against the real return
  weights       effective sample size of the search, if it weights samples
  critic        predicted discounted return against the observed one

Writes diagnosis_*.csv and plots/ to the run folder or to --out. A part that the algorithm does
not have is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import jax
import numpy as np
import scipy.stats
from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from experiments import evaluate, job
from experiments.command_line import cli, outputs
from experiments.diagnose import measurements, open_loop
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.runtime.rendering import plots
from mbrl_jax.types import Diagnostics, TrainState, Transition

DOTS = 4000
"""Maximum points of a scatter plot."""
PLANNED = 3
"""Maximum episodes with planning: every action takes a plan."""


def define() -> None:
  """Defines the flags."""
  evaluate.define()
  flags.adopt_module_key_flags(evaluate)
  flags.DEFINE_integer("horizon", 30, "Control steps of the model's predictions.", 1)
  flags.DEFINE_integer("starts", 200, "Maximum number of initial states of predictions.", 1)
  flags.DEFINE_string("out", None, "Output folder. Default: the run folder.")


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Diagnoses the first seed of a run; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  out = Path(options.out) if options.out else evaluate.open_run(options).path
  outputs.check_folder(out)
  _, task, restored = evaluate.restore(options)
  diagnostics = task.algorithm.diagnostics
  rollout, seconds = task.evaluation(options.episodes, restored.state)
  console.print(f"compiled the evaluation in {seconds:.1f} s", markup=False)
  key = evaluate.episodes_key(options.seed)
  episodes, state = rollout(restored.state, key)["transition"], restored.state
  if task.seeds:
    episodes, state = jax.tree.map(lambda x: x[0], (episodes, state))
    console.print(f"using the first of {len(task.seeds)} seeds", markup=False)
  (out / "plots").mkdir(parents=True, exist_ok=True)
  written: list[Path] = []
  if diagnostics.dynamics is None:
    console.print(f"{task.settings['algo']} has no model", markup=False)
  else:
    written += _model(options, diagnostics, state, episodes, out, console)
  if diagnostics.planned is None:
    console.print(f"{task.settings['algo']} does not plan", markup=False)
  else:
    written += _plans(options, task, state, out, console)
  if diagnostics.q is None:
    console.print(f"{task.settings['algo']} has no critic", markup=False)
  else:
    written += _critic(diagnostics, state, episodes, out, console)
  for path in written:
    console.print(f"wrote {path}", markup=False)
  return 0


def _model(
  options: flags.FlagValues,
  diagnostics: Diagnostics,
  state: TrainState,
  episodes: Transition,
  out: Path,
  console: Console,
) -> list[Path]:
  """Measures and draws the error and the calibration of the model."""
  repeat = diagnostics.action_repeat
  horizon = max(min(options.horizon, int(measurements.lengths(episodes).max())) // repeat, 1)
  key = stream_key("diagnosis of the model", options.seed)
  params = diagnostics.params(state)
  predicted, truth = measurements.predict(
    diagnostics.dynamics, params, episodes, horizon, options.starts, key, repeat
  )
  scale = np.asarray(episodes.obs).reshape(-1, truth.shape[-1]).std(0)
  errors = measurements.model_errors(predicted, truth, scale)
  covered = measurements.coverage(predicted[:, 0], truth[:, 0])
  console.print(
    f"model error in standard deviations: {errors.median[0]:.3g} after "
    f"{'one step' if repeat == 1 else f'{repeat} steps'}, "
    f"{errors.median[-1]:.3g} after {horizon * repeat} (medians over {errors.starts} starts)",
    markup=False,
  )
  middle = covered[len(covered) // 2]
  console.print(f"coverage of the central 50 % interval: {middle:.0%}", markup=False)
  written = open_loop.write(out / "diagnosis_open_loop.csv", predicted[0], truth[0], repeat)
  drawn = open_loop.draw(out / "plots" / "open_loop.png", predicted[0], truth[0], repeat)
  return [*_write_model(out, errors, covered, repeat), written, drawn]


def _write_model(
  out: Path, errors: measurements.ModelErrors, covered: np.ndarray, repeat: int
) -> list[Path]:
  """Writes and draws the errors ``[H]``, ``repeat`` steps apart, and the coverage ``[L]``."""
  steps = repeat * np.arange(1, len(errors.median) + 1)
  rows = zip(steps, errors.median, errors.upper, strict=True)
  tables = [
    _write(out / "diagnosis_model_error.csv", ("steps", "median", "upper"), rows),
    _write(
      out / "diagnosis_calibration.csv",
      ("expected", "observed"),
      zip(measurements.LEVELS, covered, strict=True),
    ),
  ]

  def error(axes: Axes) -> None:
    axes.fill_between(steps, errors.median, errors.upper, alpha=0.2, color=plots.COLOURS[0])
    axes.plot(steps, errors.median, "o-", ms=3, color=plots.COLOURS[0], label="median")
    axes.plot([], [], color=plots.COLOURS[0], alpha=0.2, lw=8, label="up to 90th percentile")
    axes.set(xlabel="control steps ahead", ylabel="error of the mean / standard deviation")

  def calibration(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", label="exact")
    axes.plot(measurements.LEVELS, covered, "o-", color=plots.COLOURS[0], label="one step")
    axes.set(xlabel="share of particles in the interval", ylabel="share of observations")

  return [
    *tables,
    _draw(out / "plots" / "model_horizon.png", error),
    _draw(out / "plots" / "calibration.png", calibration),
  ]


def _plans(
  options: flags.FlagValues, task: job.Job, state: TrainState, out: Path, console: Console
) -> list[Path]:
  """Measures and draws returns of plans and the effective sample size of the search."""
  sizes = {"episodes": min(options.episodes, PLANNED), "starts": options.starts}
  key = stream_key("diagnosis of the plans", options.seed)
  try:
    found = measurements.plans(task.algorithm, task.env, state, key=key, **sizes)
  except ValueError as error:
    console.print(f"plans: {error}", markup=False)
    return []
  ranks = scipy.stats.spearmanr(found.predicted, found.true).statistic
  bias = float(np.mean(found.predicted - found.true))
  console.print(
    f"plans: mean return {found.predicted.mean():.4g} predicted, {found.true.mean():.4g} real, "
    f"bias {bias:+.4g}, rank correlation {ranks:.2f} ({len(found.true)} plans)",
    markup=False,
  )
  columns, labels = ("expected", "carried_out"), ("predicted by the model", "of the execution")
  written = _compare(out, "plans", found.predicted, found.true, columns, labels)
  if found.ess is None:
    console.print("the search does not weight samples", markup=False)
    return written
  low, middle, high = np.quantile(found.ess, (0.1, 0.5, 0.9))
  console.print(
    f"effective sample size: median {middle:.3g}, 10 % to 90 %: {low:.3g} to {high:.3g}",
    markup=False,
  )

  def histogram(axes: Axes) -> None:
    axes.hist(found.ess, 30, color=plots.COLOURS[0], label="plans")
    axes.set(xlabel="effective sample size of the last update", ylabel="plans")

  table = out / "diagnosis_ess.csv"
  written.append(_write(table, ("effective_samples",), found.ess[:, None]))
  return [*written, _draw(out / "plots" / "ess.png", histogram)]


def _critic(
  diagnostics: Diagnostics,
  state: TrainState,
  episodes: Transition,
  out: Path,
  console: Console,
) -> list[Path]:
  """Measures and draws the bias of the critic."""
  found = measurements.critic(diagnostics, state, episodes)
  bias = float(np.mean(found.expected - found.followed))
  console.print(
    f"critic: mean return {found.expected.mean():.4g} predicted, {found.followed.mean():.4g} "
    f"observed, bias {bias:+.4g} (without entropy)",
    markup=False,
  )
  columns, labels = (
    ("expected", "followed"),
    ("predicted by the critic", "observed, discounted"),
  )
  return _compare(out, "critic", found.expected, found.followed, columns, labels)


def _compare(
  out: Path,
  name: str,
  expected: np.ndarray,
  happened: np.ndarray,
  columns: tuple[str, str],
  labels: tuple[str, str],
) -> list[Path]:
  """Writes two columns of returns ``[n]``; draws at most ``DOTS`` of them as a scatter plot."""
  every = -(-len(expected) // DOTS)
  ends = [min(happened.min(), expected.min()), max(happened.max(), expected.max())]

  def scatter(axes: Axes) -> None:
    axes.plot(ends, ends, color="0.6", label="exact")
    shown = happened[::every], expected[::every]
    axes.plot(*shown, ".", ms=3, color=plots.COLOURS[0], label=name)
    axes.set(xlabel=f"return {labels[1]}", ylabel=f"return {labels[0]}")

  rows = zip(expected, happened, strict=True)
  table = _write(out / f"diagnosis_{name}.csv", columns, rows)
  return [table, _draw(out / "plots" / f"{name}.png", scatter)]


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[float]]) -> Path:
  cells = ([f"{value:.6g}" for value in row] for row in rows)
  return outputs.write_csv(path, head, (dict(zip(head, row, strict=True)) for row in cells))


def _draw(path: Path, draw: Callable[[Axes], None]) -> Path:
  figure = Figure(figsize=(6, 4.2), layout="constrained")
  axes = figure.subplots()
  draw(axes)
  axes.grid(color="0.9")
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)
  axes.legend(frameon=False)
  return plots.write_figure(figure, path)


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
