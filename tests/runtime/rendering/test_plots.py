"""Plots: files that are not blank, and no import of pyplot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mbrl_jax.runtime.rendering import figures, plots


def rows(seeds=(None,), count=8):
  rng = np.random.default_rng(0)
  table = []
  for seed in seeds:
    best = -np.inf
    for i in range(count):
      value = float(20 * i + rng.normal(0, 10))
      row = {"step": 200.0 * (i + 1), "return": value, "model/mse": 10.0**-i}
      if i:
        best = max(best, value)
        row["best"] = best
      table.append(row | ({} if seed is None else {"seed": seed}))
  return table


def coloured_pixels(path):
  """Counts the pixels that are neither white nor grey."""
  pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
  return int(np.sum(np.ptp(pixels, axis=-1) > 30))


def fan(path):
  rng = np.random.default_rng(0)
  walk = np.cumsum(rng.normal(size=(21, 4)), axis=0)
  predictions = walk[:-1, None, None] + rng.normal(size=(20, 6, 5, 4))
  plots.particle_fan(path, predictions, walk, every=5, dt=0.02, title="fan")


DRAWN = {
  "curve": lambda path: plots.learning_curve(path, rows(), "cartpole"),
  "seeds": lambda path: plots.learning_curve(path, rows((0.0, 1.0, 2.0))),
  "error": lambda path: plots.model_error(path, rows()),
  "compare": lambda path: plots.comparison(
    path, {"PE": plots.curves(rows((0.0, 1.0)), "best"), "D": plots.curves(rows(), "best")}, "y"
  ),
  "true": lambda path: plots.predicted_against_true(path, np.eye(9), np.eye(9) + 0.1),
  "fan": fan,
}


@pytest.mark.parametrize("name", DRAWN)
def test_plots_are_not_blank(tmp_path, name):
  path = tmp_path / "plots" / f"{name}.png"
  DRAWN[name](path)
  assert Image.open(path).size[0] >= 600
  assert coloured_pixels(path) > 300


def test_the_mean_of_seeds_ignores_seeds_without_data(tmp_path):
  long = (np.array([0.0, 10.0, 20.0]), np.array([1.0, 1.0, 7.0]))
  short = (np.array([0.0, 10.0]), np.array([3.0, 3.0]))
  _, axes = figures.make_figure("", "x", "y")
  plots.draw_curves(axes, [long, short], "both", "red", "-")
  np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 2], [10, 2], [20, 7]])


def test_empty_tables_are_no_error(tmp_path):
  plots.learning_curve(tmp_path / "empty.png", [])
  plots.model_error(tmp_path / "none.png", [{"step": 1.0, "return": 1.0}])


def test_pyplot_is_never_imported():
  module = "mbrl_jax.runtime.rendering.plots"
  code = f"import sys, {module}; assert 'matplotlib.pyplot' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_trials_that_end_together_in_parallel_envs_are_averaged():
  rows = [{"step": step, "return": float(step)} for step in (97, 98, 100, 101, 108)]
  found = plots.mean_over_envs(rows, "return", 4)
  assert [row["step"] for row in found] == [100, 104, 108]
  np.testing.assert_allclose([row["return"] for row in found], [295 / 3, 101.0, 108.0])
  assert plots.mean_over_envs(rows, "return", 1) == rows
