"""The picture of a training run: which panels it has, and what they show."""

import numpy as np
import pytest
from PIL import Image

from mbrl_jax.runtime.rendering import plots, training_plot


def table(seeds=(None,), episodes=12, **metrics):
  """Makes rows of episodes of 10 steps; metrics are ``(episode) -> value``."""
  return [
    {"step": 10.0 * (i + 1), "return": float(i)}
    | {name.replace("__", "/"): float(value(i)) for name, value in metrics.items()}
    | ({} if seed is None else {"seed": seed})
    for seed in seeds
    for i in range(episodes)
  ]


def drawn(monkeypatch, *arguments, **options):
  """Returns the axes of the picture, by title."""
  figures = []
  monkeypatch.setattr(
    training_plot, "write_figure", lambda figure, path: figures.append(figure)
  )
  training_plot.training("unused.png", *arguments, **options)
  return {axes.get_title(): axes for axes in figures[0].axes if axes.get_visible()}


def test_only_panels_with_columns_are_drawn(monkeypatch):
  assert list(drawn(monkeypatch, [])) == ["return of an episode"]
  assert list(drawn(monkeypatch, table())) == ["return of an episode"]
  rows = table(success=lambda i: i % 2, model__entropy=lambda i: i, model__other=lambda i: i)
  titles = ["return of an episode", "success rate", "entropy of the policy (nat)"]
  assert list(drawn(monkeypatch, rows)) == titles


def test_every_panel_is_drawn_from_its_columns(monkeypatch):
  columns = [column for panel in training_plot.PANELS for column in panel.columns]
  rows = [{"step": 10.0 * i} | dict.fromkeys(columns, 1.0 + i) for i in range(1, 9)]
  axes = drawn(monkeypatch, rows)
  assert list(axes) == [panel.title for panel in training_plot.PANELS]
  for panel in training_plot.PANELS:
    labels = [line.get_label() for line in axes[panel.title].lines]
    assert labels == list(panel.columns.values())
    assert axes[panel.title].get_yscale() == ("log" if panel.log else "linear")


def test_training_and_evaluation_share_a_panel(monkeypatch):
  evaluations = [{"step": 50.0, "eval/return": 7.0}, {"step": 100.0, "eval/return": 9.0}]
  lines = drawn(monkeypatch, table(), evaluations=evaluations)["return of an episode"].lines
  np.testing.assert_array_equal(lines[0].get_xydata(), [[10 * (i + 1), i] for i in range(12)])
  np.testing.assert_array_equal(lines[1].get_xydata(), [[50, 7], [100, 9]])


def test_seeds_are_a_mean_with_a_band(monkeypatch):
  rows = table((0.0, 1.0), model__imagined_return=lambda i: i)
  for row in rows:
    row["model/imagined_return"] += 4 * row["seed"]
  axes = drawn(monkeypatch, rows)["return of imagined episodes"]
  np.testing.assert_allclose(axes.lines[0].get_ydata(), np.arange(12) + 2)
  band = axes.collections[0].get_paths()[0].vertices[:, 1]
  assert (band.min(), band.max()) == (0.0, 15.0)  # a standard deviation of 2


def test_the_target_of_the_kl_divergence_is_a_dashed_line(monkeypatch):
  rows = table(model__kl=lambda i: i, model__kl_target=lambda i: 0.025)
  _, target = drawn(monkeypatch, rows)["KL divergence of an update"].lines
  assert target.get_linestyle() == "--"
  np.testing.assert_array_equal(target.get_xydata(), [[10, 0.025], [120, 0.025]])


def test_the_success_rate_is_the_mean_of_the_last_episodes():
  solved = np.random.default_rng(0).random(60) < 0.5
  rows = table(episodes=60, success=lambda i: solved[i])
  ((steps, values),) = training_plot.column_curves(rows, "success")
  want = [solved[max(0, i - 19) : i + 1].mean() for i in range(60)]
  np.testing.assert_allclose(values, want)
  np.testing.assert_array_equal(steps, [row["step"] for row in rows])


def test_an_update_that_several_rows_repeat_is_one_point():
  rows = table(model__kl=lambda i: i // 3)
  ((steps, values),) = training_plot.column_curves(rows, "model/kl")
  assert (steps.tolist(), values.tolist()) == ([30, 60, 90, 120], [0, 1, 2, 3])


def test_losses_that_are_not_positive_are_on_a_linear_axis(monkeypatch):
  title = "model loss on new data"
  for lowest, scale in ((1.0, "log"), (-1.0, "linear")):
    rows = table(model__new_data_loss_after=lambda i, lowest=lowest: lowest + i)
    assert drawn(monkeypatch, rows)[title].get_yscale() == scale


def test_values_that_are_not_finite_are_left_out():
  rows = table(model__kl=lambda i: [np.nan, np.inf, 1.0, 2.0][i % 4])
  ((steps, values),) = training_plot.column_curves(rows, "model/kl")
  assert np.isfinite(values).all() and steps.tolist() == [30, 40, 70, 80, 110, 120]
  assert training_plot.column_curves(table(model__kl=lambda i: np.nan), "model/kl") == []


def test_long_curves_are_averaged_to_few_points():
  steps = np.arange(1000.0)
  thinned = training_plot.thin(steps, 3 * steps)
  assert len(thinned[0]) == training_plot.POINTS
  np.testing.assert_allclose(thinned[1], 3 * thinned[0])
  np.testing.assert_allclose(thinned[0][0], [1.0])  # of 0, 1 and 2
  np.testing.assert_array_equal(training_plot.thin(steps[:300], steps[:300])[0], steps[:300])


def test_parallel_environments_are_averaged():
  rows = [{"step": step, "return": step} for step in (97.0, 98.0, 100.0, 101.0, 108.0)]
  ((steps, values),) = training_plot.column_curves(rows, "return", 4)
  assert steps.tolist() == [100, 104, 108]
  np.testing.assert_allclose(values, [295 / 3, 101, 108])


@pytest.mark.parametrize("seeds", [(None,), (0.0, 1.0, 2.0)])
def test_the_picture_is_not_blank(tmp_path, seeds):
  rows = table(seeds, success=lambda i: i % 2, model__mse=lambda i: 0.1**i)
  path = training_plot.training(tmp_path / "plots" / "training.png", rows, "run $1")
  pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
  assert np.sum(np.ptp(pixels, axis=-1) > 30) > 1000


def test_comparisons_of_losses_have_a_logarithmic_axis(monkeypatch, tmp_path):
  seen = []
  monkeypatch.setattr(plots, "save_figure", lambda figure, axes, path: seen.append(axes))
  groups = {"a": [(np.arange(2.0), np.ones(2))]}
  for log in (False, True):
    plots.comparison(tmp_path / "a.png", groups, "y", log=log)
  assert [axes.get_yscale() for axes in seen] == ["linear", "log"]
