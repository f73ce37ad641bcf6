"""The paper's figure: curves of the three methods, their steps, and the speed-up."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from mbmf_files import drawn_figures, model_table, run_folder, trpo_run

from experiments.mbmf import comparison
from experiments.mbmf.comparison import HYBRID, MODEL_BASED, MODEL_FREE, Labelled

ROUNDED = (-646.0, 6e-07)
"""Returns from which a share of 1 rounds to more than the higher one."""


def seed_folder(folder, offset=0.0):
  """Writes all stages of a seed; returns its folder."""
  model_table(folder / "model", [(30, [1 + offset, 3 + offset]), (60, [5 + offset])], random=2)
  np.savez(folder / "rollouts.npz", reward=np.zeros(25))
  run_folder(folder / "imitation", config={"steps": 15})
  trpo_run(folder / "hybrid", 100, [4 + offset, 8 + offset])
  trpo_run(folder / "model_free", 100, [0 + offset, 2, 4, 8, 9 + offset])
  return folder


def test_curves_have_the_steps_that_each_method_has_used(tmp_path):
  curves = comparison.read({0: seed_folder(tmp_path / "seed0")})
  found = {c.label: (c.steps.tolist(), c.values.tolist()) for c in curves}
  assert found == {
    MODEL_BASED: ([30, 60], [2, 5]),
    HYBRID: ([200, 300], [4, 8]),  # after 60 + 25 + 15 steps
    MODEL_FREE: ([100, 200, 300, 400, 500], [0, 2, 4, 8, 9]),
  }
  assert list(found) == [MODEL_BASED, HYBRID, MODEL_FREE]


def test_missing_stages_have_no_curve(tmp_path):
  trpo_run(tmp_path / "hybrid", 100, [4.0])
  (curve,) = comparison.read({3: tmp_path})
  assert (curve.label, curve.seed, curve.steps.tolist()) == (HYBRID, 3, [100])
  assert comparison.speed_up([curve]) == []
  assert comparison.read({0: tmp_path / "nothing"}) == []


def test_the_picture_has_means_over_seeds_on_a_logarithmic_axis(tmp_path, monkeypatch):
  figures = drawn_figures(monkeypatch)
  folders = {i: seed_folder(tmp_path / f"seed{i}", offset=2.0 * i) for i in (0, 1)}
  curves = comparison.read(folders)
  assert comparison.draw(tmp_path / "c.png", curves, "title").stat().st_size > 5000
  (axes,) = figures[0].axes
  assert axes.get_xscale() == "log" and axes.get_yscale() == "linear"
  lines = {line.get_label().split(" (")[0]: line.get_xydata() for line in axes.get_lines()}
  np.testing.assert_allclose(lines[MODEL_BASED], [[30, 3], [60, 6]])
  np.testing.assert_allclose(lines[HYBRID], [[200, 5], [300, 9]])
  np.testing.assert_allclose(lines[MODEL_FREE][-1], [500, 10])
  with open(comparison.write(tmp_path / "c.csv", curves), newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 2 * (2 + 2 + 5)
  assert rows[0] == {"curve": MODEL_BASED, "seed": "0", "step": "30", "return": "2"}


def test_a_single_fit_is_visible(tmp_path, monkeypatch):
  figures = drawn_figures(monkeypatch)
  model_table(tmp_path / "model", [(30, [1, 3])])
  comparison.draw(tmp_path / "c.png", comparison.read({0: tmp_path}), "")
  (line,) = figures[0].axes[0].get_lines()
  assert line.get_xydata().tolist() == [[30, 2]] and line.get_marker() == "o"


def test_speed_up_is_the_ratio_of_steps_to_equal_returns():
  steps = np.arange(1.0, 11.0)
  curves = [
    Labelled(HYBRID, 0, 100 * steps, 20 * steps),
    Labelled(MODEL_FREE, 0, 100 * steps, 10 * steps),
  ]
  rows = comparison.speed_up(curves)
  assert rows[-1] == {
    "return": 100.0, "hybrid_steps": 500.0, "model_free_steps": 1000.0, "speed_up": 2.0,
  }  # fmt: skip
  assert [row["return"] for row in rows] == pytest.approx([32.5, 55, 77.5, 91, 100])
  assert [row["hybrid_steps"] for row in rows] == [200, 300, 400, 500, 500]
  assert comparison.formatted(rows)[-1]["speed_up"] == "2.00"


def test_the_best_return_counts_as_reached_whatever_the_rounding():
  steps, (low, high) = np.arange(1.0, 3.0), ROUNDED
  assert low + 1.0 * (high - low) > high + 1e-9 * abs(high)
  curves = [Labelled(label, 0, steps, np.array(ROUNDED)) for label in (HYBRID, MODEL_FREE)]
  assert [row["speed_up"] for row in comparison.speed_up(curves)] == [1.0] * 5


def test_the_mean_of_curves_is_taken_where_all_have_values():
  one = np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 20.0])
  two = np.array([5.0, 15.0]), np.array([1.0, 1.0])
  steps, values = comparison.mean_curve([one, two])
  assert steps.tolist() == [5, 10, 15] and values.tolist() == [3, 5.5, 8]
  apart = np.array([50.0, 60.0]), np.array([1.0, 1.0])
  assert len(comparison.mean_curve([two, apart])[0]) == 0
