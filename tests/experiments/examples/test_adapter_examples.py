"""Examples with environments and trainers of other libraries."""

import csv

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.examples import brax_trains_ours, foreign_tasks


@pytest.mark.parametrize(
  ("next_obs", "action", "reward"),
  [
    ([0, 1, 0, 0, 0], 0.0, 1.0),  # upright and still at the centre
    ([0, -1, 0, 0, 0], 0.0, 0.0),  # hanging
    ([0, 0, 1, 0, 0], 0.0, 0.5),
    ([2, 1, 0, 0, 0], 0.0, 0.55),  # at the margin of a tolerance the term is 0.1
    ([0, 1, 0, 0, -5], 0.0, 0.55),
    ([0, 1, 0, 9, 0], 1.0, 0.8),
    ([0, 1, 0, 0, 0], -0.5, 0.95),
  ],
)
def test_the_reward_of_the_cart_pole(next_obs, action, reward):
  obs = jnp.full(5, jnp.nan)
  found = foreign_tasks.cartpole_reward(obs, jnp.array([action]), jnp.float32(next_obs))
  np.testing.assert_allclose(found, reward, rtol=1e-6)


def test_gymnasiums_pendulum_has_a_reward_function():
  pytest.importorskip("gymnasium")
  env = foreign_tasks.gymnasium_pendulum(episode_length=5)
  assert env.spec.episode_length == 5
  assert env.spec.reward(jnp.array([-1.0, 0, 0]), jnp.zeros(1), None) == pytest.approx(
    -(np.pi**2)
  )


def test_rows_are_written_as_csv(tmp_path):
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
