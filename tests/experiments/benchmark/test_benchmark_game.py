"""The benchmark of PAL's parts: the work that it counts, and one round."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from programs import program

from experiments.benchmark.peers import ours_game
from mbrl_jax.algorithms.parts.difference_nets import DifferenceModelConfig
from mbrl_jax.envs import make_env


def test_work_counts_the_products_of_all_members():
  config = SimpleNamespace(
    world_model=DifferenceModelConfig(hidden=(5, 7), members=3, epochs=2)
  )
  work = ours_game.work_of(SimpleNamespace(config=config, horizon=10), inputs=4, outputs=2)
  of_a_row = 2 * (4 * 5 + 5 * 7 + 7 * 2)
  assert work["imagine"] == {"count": 3 * 50 * 10, "flops": 3 * 50 * 10 * of_a_row}
  assert work["fit"] == {"count": 3 * 10_000 * 2, "flops": 3 * 3 * 10_000 * 2 * of_a_row}


def test_rows_have_the_sizes_of_the_task():
  spec = make_env("hopper").spec
  rows = ours_game.random_rows(spec, np.ones(spec.obs_dim))
  assert rows["obs"].shape == rows["next_obs"].shape == (10_000, 12)
  assert np.abs(rows["obs"] - 1).mean() < 0.2 and np.abs(rows["action"]).max() <= 1


@pytest.mark.optimised
def test_shares_of_an_iteration_add_up(tmp_path):
  out = tmp_path / "game"
  program("benchmark", "--what=game", "--rounds=1", "--dtypes=float32", f"--out={out}")
  with open(f"{out}.csv") as file:
    rows = list(csv.DictReader(file))
  shares = [float(row["value"]) for row in rows if row["figure"].endswith(", share")]
  assert len(shares) == 4 and abs(sum(shares) - 1) < 1e-3
