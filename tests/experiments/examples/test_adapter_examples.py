"""The examples that bring other people's environments and trainers together with ours."""

import csv

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.examples import brax_trains_ours, foreign_tasks


@pytest.mark.parametrize(
  ("next_obs", "action", "reward"),
  [
    ([0, 1, 0, 0, 0], 0.0, 1.0),  # stands still in the middle
    ([0, -1, 0, 0, 0], 0.0, 0.0),  # hangs
    ([0, 0, 1, 0, 0], 0.0, 0.5),
    ([2, 1, 0, 0, 0], 0.0, 0.55),  # at the margin a term is 0.1
    ([0, 1, 0, 0, -5], 0.0, 0.55),
    ([0, 1, 0, 9, 0], 1.0, 0.8),
    ([0, 1, 0, 0, 0], -0.5, 0.95),
  ],
)
def test_the_cart_pole_s_reward(next_obs, action, reward):
  obs = jnp.full(5, jnp.nan)
  found = foreign_tasks.cartpole_reward(obs, jnp.array([action]), jnp.float32(next_obs))
  np.testing.assert_allclose(found, reward, rtol=1e-6)


def test_gymnasium_s_pendulum_is_rewarded_as_ours():
  pytest.importorskip("gymnasium")
  env = foreign_tasks.gymnasium_pendulum(episode_length=5)
  assert env.spec.episode_length == 5
  assert env.spec.reward(jnp.array([-1.0, 0, 0]), jnp.zeros(1), None) == pytest.approx(
    -(np.pi**2)
  )


def test_tables_are_written(tmp_path):
  rows = [brax_trains_ours.row(0, 1, -1.5, 0.5), brax_trains_ours.row(8, 1, 2.0, 0.0)]
  brax_trains_ours.write(tmp_path / "table.csv", rows)
  with open(tmp_path / "table.csv", newline="") as file:
    read = list(csv.DictReader(file))
  assert [{k: float(v) for k, v in row.items()} for row in read] == rows


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_brax_trains():
  rows = brax_trains_ours.train("pendulum", steps=2000, evaluations=2, seed=0)
  assert len(rows) == 2 and rows[0]["step"] == 0 and rows[1]["step"] >= 2000
  assert all(-2000 < row["eval/return"] < 0 for row in rows)
