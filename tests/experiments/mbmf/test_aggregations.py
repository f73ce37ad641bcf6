"""Fits and rollouts of the model stage, read from its table, and their picture."""

from __future__ import annotations

import numpy as np
from mbmf_files import drawn_figures, model_table

from experiments.mbmf import aggregations

BLOCKS = [(30, [1.0, 2.0, 6.0]), (60, [4.0, 5.0]), (90, [7.0, 9.0])]


def test_rollouts_belong_to_the_fit_they_were_made_with(tmp_path):
  """The last row of each block reports the next fit already."""
  for random in (0, 3):
    folder = tmp_path / str(random)
    model_table(folder, BLOCKS, random)
    found = aggregations.rollouts(folder / "metrics.csv")
    assert [each.fit for each in found] == [0, 0, 0, 1, 1, 2, 2]
    assert [each.points for each in found] == [30, 30, 30, 60, 60, 90, 90]
    assert found[0].step == 10 * random + 10 and found[-1].total == 9
    points, means = aggregations.returns(folder / "metrics.csv")
    assert points.tolist() == [30, 60, 90] and means.tolist() == [3, 4.5, 8]


def test_each_fit_is_one_row(tmp_path):
  model_table(tmp_path, BLOCKS)
  rows = aggregations.fits(tmp_path / "metrics.csv")
  assert [row["model/rows"] for row in rows] == [30, 60, 90]
  assert [row["model/loss_old"] for row in rows] == [1, 1 / 2, 1 / 3]
  assert [row["model/error_100"] for row in rows] == [5, 10, 15]
  assert set(rows[0]) == {"model/rows", *aggregations.LOSSES, *aggregations.ERRORS}


def test_fits_with_equally_many_points_are_told_apart(tmp_path):
  """A rollout that is held out adds none."""
  model_table(tmp_path, [(30, [1.0, 2.0]), (30, [4.0, 5.0]), (60, [7.0])])
  found = aggregations.rollouts(tmp_path / "metrics.csv")
  assert [each.fit for each in found] == [0, 0, 1, 1, 2]
  rows = aggregations.fits(tmp_path / "metrics.csv")
  assert [row["model/rows"] for row in rows] == [30, 30, 60]
  assert [row["model/loss_old"] for row in rows] == [1, 1 / 2, 1 / 3]


def test_a_stage_that_has_not_begun_has_neither(tmp_path):
  assert aggregations.rollouts(tmp_path / "metrics.csv") == []
  assert aggregations.fits(tmp_path / "metrics.csv") == []
  assert len(aggregations.returns(tmp_path / "metrics.csv")[0]) == 0


def test_the_picture_has_losses_and_errors_of_each_fit(tmp_path, monkeypatch):
  figures = drawn_figures(monkeypatch)
  model_table(tmp_path, BLOCKS)
  rows = aggregations.fits(tmp_path / "metrics.csv")
  aggregations.draw(tmp_path / "losses.png", [rows, rows], "fits")
  losses, errors = figures[0].axes
  lines = {line.get_label(): line.get_xydata() for line in losses.get_lines()}
  np.testing.assert_allclose(lines["random data"], [[0, 1], [1, 1 / 2], [2, 1 / 3]])
  # Before any data of the planner its loss is 0, which a logarithmic axis cannot show.
  np.testing.assert_allclose(lines["planner's data"], [[1, 2], [2, 1]])
  labels = [line.get_label() for line in errors.get_lines()]
  assert labels == ["1 step", "5 steps", "10 steps", "50 steps", "100 steps"]
  assert losses.get_yscale() == errors.get_yscale() == "log"


def test_a_single_fit_is_marked_by_its_number(tmp_path, monkeypatch):
  figures = drawn_figures(monkeypatch)
  model_table(tmp_path, BLOCKS)
  aggregations.draw(tmp_path / "a.png", [aggregations.fits(tmp_path / "metrics.csv")[:1]], "")
  axes = figures[0].axes[0]
  (left, right), ticks = axes.get_xlim(), axes.get_xticks()
  assert [tick for tick in ticks if left < tick < right] == [0]
