"""Statistics of a few runs, and learning curves from evaluations."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from absl import flags
from PIL import Image
from scipy import stats

from experiments import plot
from experiments.analysis import curves, statistics
from experiments.analysis.curves import Curve
from experiments.command_line import cli
from mbrl_jax.runtime.storage.run_folder import RunFolder


def curve(values, task="pendulum", every=100):
  return Curve(task, every * (1.0 + np.arange(len(values))), np.asarray(values, float))


def make_run(folder, algo, seeds, offset=0.0, env="pendulum"):
  """Writes the files of a run that was evaluated every 100 steps."""
  folder.mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps({"algo": algo, "env": env, "config": {}}))
  (folder / "metrics.csv").write_text("step,random,return\n100,0,1\n")
  lines = [
    f"{100 * i},{seed},{offset + 10 * i + seed},1" for i in range(1, 6) for seed in range(seeds)
  ]
  head = "step,seed,eval/return,eval/return_std"
  (folder / "evaluations.csv").write_text("\n".join([head, *lines]) + "\n")
  return folder


def plotted(*arguments):
  """Calls the program in this process."""
  values = flags.FlagValues()
  plot.define(values)
  values(["plot", *map(str, arguments)])
  return plot.main(values, {"config": {}, "env": {}})


def test_any_column_of_trials_or_evaluations_is_compared(tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(plot.plots, "comparison", lambda *a: drawn.append(a[1:]) or a[0])
  runs = [make_run(tmp_path / name, name, 2, offset=i) for i, name in enumerate("ab")]
  given = [f"--runs={run}" for run in runs]
  for run in runs:
    (run / "metrics.csv").write_text("step,random,return,model/mse\n5,0,1,0.5\n9,0,3,0.25\n")
  for column in ("eval/return", "model/mse"):
    plotted(*given, f"--column={column}", f"--out={tmp_path / 'c.png'}")
  (evaluated, *labels), (errors, *more) = drawn
  assert labels == ["return of an episode, evaluation", "", False]
  steps, values = evaluated["b"][1]  # of the second seed
  assert (steps.tolist(), values.tolist()) == ([100, 200, 300, 400, 500], [12, 22, 32, 42, 52])
  assert more[-1] is True and errors["a"][0][1].tolist() == [0.5, 0.25]
  with pytest.raises(cli.UsageError, match=r"--column='nope' is not known.*'eval/return'"):
    plotted(*given, "--column=nope")


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 8, 11, 20])
def test_interquartile_mean_agrees_with_scipy(runs):
  values = np.random.default_rng(runs).normal(size=(runs, 7))
  expected = stats.trim_mean(values, 0.25, axis=0)
  np.testing.assert_allclose(statistics.interquartile_mean(values), expected, rtol=1e-12)


def test_interquartile_mean_ignores_outliers():
  """The middle half of 1 to 8 is 3, 4, 5, 6, whatever the other values are."""
  assert statistics.interquartile_mean(np.array([8, 1, 2, 3, 4, 5, 6, 7.0])) == 4.5
  assert statistics.interquartile_mean(np.array([1e9, -1e9, 2, 3, 4, 5, 6, 7.0])) == 4.5


def test_bootstrap_enumerates_a_hand_example():
  """For the runs 0 and 1 a quarter of the resamples has the mean 0, half 1/2, a quarter 1."""
  interval = statistics.bootstrap([np.array([0.0, 1.0])], np.mean, draws=4000, level=0.4)
  assert interval == (0.5, 0.5)
  interval = statistics.bootstrap([np.array([0.0, 1.0])], np.mean, draws=4000, level=0.95)
  assert interval == (0.0, 1.0)


def test_bootstrap_draws_within_each_stratum():
  """The values of two tasks are far apart: every resample has equal numbers of both."""
  strata = [np.array([0.0, 0.0]), np.array([10.0, 10.0])]
  assert statistics.bootstrap(strata, np.mean) == (5.0, 5.0)
  low, high = statistics.bootstrap([np.concatenate(strata)], np.mean)
  assert low < 5 < high


def test_bootstrap_has_about_its_nominal_coverage():
  rng = np.random.default_rng(0)
  hits = 0
  for _ in range(100):
    low, high = statistics.bootstrap([rng.normal(size=30)], draws=200)
    hits += low <= 0 <= high
  assert 85 <= hits <= 100


def test_bootstrap_agrees_with_scipy():
  values = np.random.default_rng(1).normal(size=12)
  ours = statistics.bootstrap([values], draws=6000)
  theirs = stats.bootstrap(
    (values,),
    lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
    method="percentile",
    n_resamples=6000,
    rng=np.random.default_rng(2),
  ).confidence_interval
  np.testing.assert_allclose(ours, theirs, atol=0.05)


@pytest.mark.parametrize(
  ("strata", "more", "message"),
  [
    ([], {}, "strata=0 must be positive"),
    ([np.zeros(0)], {}, "runs=0 must be positive"),
    ([np.zeros(2)], {"level": 1.5}, "level=1.5 must lie between"),
    ([np.zeros(2)], {"draws": 0}, "draws=0 must be positive"),
  ],
)
def test_invalid_arguments_of_the_bootstrap_are_refused(strata, more, message):
  with pytest.raises(ValueError, match=message):
    statistics.bootstrap(strata, **more)


def test_first_reached_is_the_first_step_not_below():
  steps, values = np.array([10, 20, 30, 40]), np.array([1.0, 3.0, 2.0, 5.0])
  assert statistics.first_reached(steps, values, 3.0) == 20
  assert statistics.first_reached(steps, values, 6.0) is None


def test_a_band_covers_the_steps_that_all_seeds_have():
  found = curves.band([[curve([0, 1, 2, 3]), curve([2, 4], every=150)]])
  np.testing.assert_array_equal(found.steps, [150, 200, 300])
  np.testing.assert_allclose(found.middle, [(0.5 + 2) / 2, (1 + 8 / 3) / 2, (2 + 4) / 2])
  assert np.all(found.low <= found.middle) and np.all(found.middle <= found.high)
  assert curves.band([[curve([1]), curve([1], every=5)]]) is None


def test_several_tasks_have_a_common_panel_scaled_to_zero_and_one():
  groups = {
    "a": [curve([0, 10]), curve([-4, 2], "cartpole")],
    "b": [curve([5, 5]), curve([-1, -1], "cartpole")],
  }
  found = curves.bands(groups)
  assert list(found) == ["pendulum", "cartpole", curves.ALL]
  together, seeds = found[curves.ALL]["a"]
  assert seeds == 2
  np.testing.assert_allclose(together.middle, [0, 1])
  np.testing.assert_allclose(found[curves.ALL]["b"][0].middle, [0.5, 0.5])


def test_the_table_has_the_steps_to_the_threshold():
  groups = {"a": [curve([0, 5, 9]), curve([0, 1, 9]), curve([0, 0, 1])]}
  (row,) = curves.table(groups, 4)
  assert row["steps_to_threshold"] == "200 300 -" and row["median_steps"] == "300"
  assert row["seeds"] == "3" and row["step"] == "300" and row["iqm"] == "6.3"
  (row,) = curves.table({"a": groups["a"][2:]}, 4)
  assert row["median_steps"] == "-"
  assert "steps_to_threshold" not in curves.table(groups)[0]


def test_a_run_without_evaluations_uses_its_training_episodes(tmp_path):
  (tmp_path / "config.json").write_text('{"env": "cartpole"}')
  (tmp_path / "metrics.csv").write_text("step,random,return\n10,1,7\n20,0,8\n30,0,9\n")
  (found,) = curves.read(RunFolder(tmp_path))
  np.testing.assert_array_equal(found.steps, [20, 30])
  np.testing.assert_array_equal(found.values, [8, 9])


def test_plot_draws_bands_and_writes_the_table(tmp_path, capsys):
  runs = [make_run(tmp_path / "a", "sac", 3), make_run(tmp_path / "b", "mbpo", 2, 20.0)]
  out = tmp_path / "curves.png"
  words = [f"--runs={run}" for run in runs]
  assert plotted(*words, "--group=algo", "--band=iqm", "--threshold=40", f"--out={out}") == 0
  output = capsys.readouterr().out
  assert "algo sac" in output and "steps to 40" in output
  with open(out.with_suffix(".csv"), newline="") as file:
    rows = {row["label"]: row for row in csv.DictReader(file)}
  assert rows["algo sac"]["steps_to_threshold"] == "400 400 400"
  assert rows["algo mbpo"]["median_steps"] == "200" and rows["algo mbpo"]["seeds"] == "2"
  pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
  assert np.sum(np.ptp(pixels, axis=-1) > 30) > 500


def test_bands_of_success_rates_are_drawn(tmp_path):
  table, out = tmp_path / "a.csv", tmp_path / "curves.png"
  table.write_text("step,seed,eval/return,eval/success\n" + "".join(
    f"{step},{seed},-5,{step / 100 + seed / 10}\n" for seed in range(3) for step in (10, 20)
  ))  # fmt: skip
  plotted("--band=iqm", "--column=eval/success", f"--table=arm:a={table}", f"--out={out}")
  with open(out.with_suffix(".csv"), newline="") as file:
    (row,) = csv.DictReader(file)
  assert (row["low"], row["iqm"], row["high"]) == ("0.20", "0.30", "0.40")


def test_wrong_usage_of_bands_is_refused(tmp_path):
  run = make_run(tmp_path / "a", "sac", 2)
  with pytest.raises(cli.UsageError, match="eval/return or eval/success; --band=std"):
    plotted(f"--runs={run}", "--band=iqm", "--column=return")
  (run / "evaluations.csv").unlink()
  (run / "metrics.csv").write_text("step,random,return\n100,1,1\n")
  with pytest.raises(cli.UsageError, match="a has no evaluations yet"):
    plotted(f"--runs={run}", "--band=iqm")


def test_tables_of_other_programs_join_the_runs(tmp_path):
  run = make_run(tmp_path / "a", "sac", 2)
  other = make_run(tmp_path / "b", "other", 3, offset=5.0) / "evaluations.csv"
  out = tmp_path / "all.png"
  table = f"--table=pendulum:other={other}"
  assert plotted(f"--runs={run}", table, "--band=iqm", "--group=algo", f"--out={out}") == 0
  rows = list(csv.DictReader(out.with_suffix(".csv").open()))
  assert [(row["label"], row["task"], row["seeds"]) for row in rows] == [
    ("algo sac", "pendulum", "2"),
    ("other", "pendulum", "3"),
  ]
  assert out.stat().st_size > 5000


@pytest.mark.parametrize(
  ("table", "message"),
  [
    ("other.csv", "--table='other.csv' must have the form TASK:LABEL=FILE"),
    ("pendulum:other=nowhere.csv", "nowhere.csv"),
    ("pendulum:other={}", "has no column eval/return, seed"),
  ],
)
def test_invalid_tables_are_refused(tmp_path, table, message):
  (tmp_path / "bad.csv").write_text("step\n1\n")
  with pytest.raises(cli.UsageError, match=message):
    plotted("--band=iqm", "--table=" + table.format(tmp_path / "bad.csv"))
