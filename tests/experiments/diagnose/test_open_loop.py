"""Open-loop predictions: what is predicted, drawn and written."""

from __future__ import annotations

import csv

import jax
import jax.numpy as jnp
import numpy as np

from experiments.diagnose import open_loop
from mbrl_jax.runtime.rendering import figures
from mbrl_jax.types import Dynamics

ACTIONS = np.float32([[1, 2], [3, 4], [5, 6]])


def walk(noise=0.0):
  def step(params, obs, action, key):
    next_obs = obs + params * action + noise * jax.random.normal(key, obs.shape)
    return next_obs, next_obs[0], jnp.zeros((), bool)

  return Dynamics(step)


def test_each_step_continues_from_the_prediction_before():
  found = open_loop.predict(walk(), 2.0, np.zeros(2), ACTIONS, jax.random.key(0))
  assert found.shape == (3, 40, 2)
  want = np.broadcast_to(2 * np.cumsum(ACTIONS, 0)[:, None], found.shape)
  np.testing.assert_allclose(found, want)


def test_the_picture_and_the_table_have_truth_and_prediction(tmp_path, monkeypatch):
  drawn = []
  real = figures.write_figure
  write = lambda figure, path: drawn.append(figure) or real(figure, path)
  monkeypatch.setattr(figures, "write_figure", write)
  predicted = np.stack([np.zeros((3, 2)), np.ones((3, 2))], 1)
  truth = np.arange(6.0).reshape(3, 2)
  open_loop.draw(tmp_path / "a.png", predicted, truth, repeat=2)
  panels = [axes for axes in drawn[0].axes if axes.get_visible()]
  assert len(panels) == 2
  true, mean = panels[1].get_lines()
  np.testing.assert_allclose(true.get_xydata(), [[2, 1], [4, 3], [6, 5]])
  np.testing.assert_allclose(mean.get_xydata(), [[2, 0.5], [4, 0.5], [6, 0.5]])
  with open(open_loop.write(tmp_path / "a.csv", predicted, truth, 2), newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 6
  assert rows[3] == {
    "step": "4", "dimension": "1", "true": "3", "predicted": "0.5", "low": "0.1", "high": "0.9",
  }  # fmt: skip


def test_rounding_does_not_look_like_a_difference(tmp_path, monkeypatch):
  drawn, real = [], figures.write_figure
  write = lambda figure, path: drawn.append(figure) or real(figure, path)
  monkeypatch.setattr(figures, "write_figure", write)
  open_loop.draw(tmp_path / "a.png", np.full((3, 1, 1), 0.03), np.full((3, 1), 0.03 + 1e-8))
  low, high = drawn[0].axes[0].get_ylim()
  assert high - low >= 0.9 * open_loop.NARROWEST
