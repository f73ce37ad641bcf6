"""Recording of datasets: which steps are rows, exploration, and a file that training reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import TINY, program

from experiments import collect
from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.storage.dataset import load_dataset
from mbrl_jax.types import Transition


def test_rows_are_the_steps_up_to_the_end_of_each_episode():
  """Two seeds with two episodes of four steps; steps are numbered by their reward."""
  number = np.arange(16.0).reshape(2, 2, 4)
  terminated, truncated = np.zeros((2, 2, 4), bool), np.zeros((2, 2, 4), bool)
  terminated[0, 0, 1] = terminated[0, 0, 3] = truncated[1, 0, 0] = True
  truncated[0, 1, 3] = truncated[1, 1, 3] = True
  wide = np.repeat(number[..., None], 3, -1)
  rows = collect.transitions_of(
    {"transition": Transition(wide, wide[..., :1], number, wide + 1, terminated, truncated)}
  )
  kept = [0, 1, 4, 5, 6, 7, 8, 12, 13, 14, 15]
  assert rows["reward"].tolist() == kept
  assert rows["obs"].tolist() == [[x] * 3 for x in kept]
  assert rows["next_obs"].shape == (11, 3) and rows["action"].shape == (11, 1)
  assert np.flatnonzero(rows["terminated"]).tolist() == [1]
  assert "truncated" not in rows


def test_exploration_is_that_of_training_without_warm_up():
  algorithm = make_algorithm("sac", make_env("pendulum").spec)
  state = algorithm.init(jax.random.key(0))
  assert state.carry[0] > 0  # uniform actions left
  params, left = collect.exploring(algorithm).deploy(algorithm.params(state))
  assert not params.greedy and left == 0
  act = lambda seed: algorithm.act(params, left, jnp.ones(3), jax.random.key(seed))
  assert act(0)[0] != act(1)[0] and act(0)[2]["random"] == 0


@pytest.mark.slow
def test_a_recorded_file_is_a_dataset(tmp_path):
  run, out = tmp_path / "run", tmp_path / "data.npz"
  program("train", *TINY, f"--logdir={run}")
  text = program("collect", f"--run={run}", "--transitions=150", f"--out={out}")
  data = load_dataset(str(out), make_env("linear_quadratic").spec)
  assert f"{len(data.reward)} transitions" in text and len(data.reward) >= 150
  assert (data.next_obs[0] == data.obs[1]).all()
