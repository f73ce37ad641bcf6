"""Offline runs of LOOP: datasets are read or refused, and the buffer stays unchanged."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import job, run_settings
from experiments.command_line.cli import UsageError
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.storage.dataset import load_dataset
from mbrl_jax.types import Transition

SPEC = make_env("pendulum").spec
NO_DATA = {
  "notes.txt": b"obs, action\n",
  "rows.pkl": pickle.dumps({"obs": 1}),
  "empty.npz": b"",
  "cut.npz": b"PK\x03\x04" + bytes(40),
}
ROWS = {
  "obs": np.arange(36.0).reshape(12, 3),
  "action": np.full((12, 1), 0.5),
  "reward": np.arange(12.0),
  "next_obs": np.arange(36.0).reshape(12, 3) + 1,
  "terminated": np.arange(12) == 3,
}


def saved(folder, **changes):
  np.savez(folder / "data.npz", **{**ROWS, **changes})
  return str(folder / "data.npz")


def make(path, **changes):
  config = {
    "dataset": path, "steps": 40, "update_every": 10, "agent.batch_size": 4,
    "agent.updates_per_step": 1, "agent.hidden": (8,), "world_model.members": 2,
    "world_model.elites": 1, "world_model.hidden": (8,), "world_model.epochs": 2,
    "lookahead.samples": 10, "lookahead.elites": 3,
  }  # fmt: skip
  settings = run_settings.make_settings(
    algo="loop", env="pendulum", preset="cpu", physics="auto", seed=0, seeds=1,
    env_overrides={}, config_overrides={**config, **changes},
  )  # fmt: skip
  return job.build(settings)


def test_a_dataset_fills_the_buffer_and_no_transition_is_added(tmp_path):
  task = make(saved(tmp_path))
  state = task.init()
  assert int(state.learn.real.size) == 12 and state.carry.random.tolist() == [0]
  np.testing.assert_array_equal(state.learn.real.data.reward[:12], ROWS["reward"])
  flag = jnp.zeros((), bool)
  row = Transition(jnp.ones(3), jnp.ones(1), jnp.ones(()), jnp.ones(3), flag, flag)
  rows = jax.tree.map(lambda x: x[None], row)  # of one environment
  take = lambda state, rows: task.algorithm.learn(task.algorithm.observe(state, rows), 1)
  after = jax.jit(take)(state, rows)
  jax.tree.map(np.testing.assert_array_equal, after.learn.real, state.learn.real)
  assert float(after.learn.metrics["q_loss"]) > 0  # a gradient step was taken on it


def test_logs_of_a_run_are_cut_to_their_lengths(tmp_path):
  observations = np.full((2, 4, 3), np.nan)
  observations[0], observations[1, :3] = np.arange(12).reshape(4, 3), 7
  np.savez(
    tmp_path / "logs.npz",
    observations=observations,
    actions=np.ones((2, 3, 1)),
    rewards=np.array([[1, 2, 3], [4, 5, np.nan]]),
    lengths=np.array([3, 2]),
    terminated=np.array([False, True]),
  )
  data = load_dataset(str(tmp_path / "logs.npz"), SPEC)
  assert data.reward.tolist() == [1, 2, 3, 4, 5]
  assert data.terminated.tolist() == [False] * 4 + [True]
  np.testing.assert_array_equal(data.next_obs[:2], data.obs[1:3])


@pytest.mark.parametrize("lengths", [[9, 2], [0, 2], [1.5, 2.0], [3], []])
def test_logs_with_invalid_lengths_are_refused(lengths, tmp_path):
  shapes = {"observations": (2, 4, 3), "actions": (2, 3, 1), "rewards": (2, 3)}
  arrays = {name: np.ones(shape) for name, shape in shapes.items()}
  path = tmp_path / "logs.npz"
  np.savez(path, **arrays, lengths=np.array(lengths), terminated=np.zeros(2))
  with pytest.raises(ValueError, match="do not match its lengths"):
    load_dataset(str(path), SPEC)


def test_invalid_datasets_are_refused(tmp_path):
  with pytest.raises(ValueError, match="does not exist"):
    load_dataset(str(tmp_path / "none.npz"), SPEC)
  with pytest.raises(ValueError, match=r"action has shape \[12, 2\], expected \[12, 1\]"):
    load_dataset(saved(tmp_path, action=np.zeros((12, 2))), SPEC)
  for name, content in NO_DATA.items():
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read: it must be an .npz file") as refused:
      load_dataset(str(tmp_path / name), SPEC)
    assert "allow" not in str(refused.value)
  with pytest.raises(ValueError, match="cannot be read"):
    load_dataset(saved(tmp_path, obs=np.array([{}] * 12)), SPEC)
  with pytest.raises(ValueError, match="reward contains <U1, expected numbers"):
    load_dataset(saved(tmp_path, reward=np.array(["x"] * 12)), SPEC)
  with pytest.raises(ValueError, match=r"obs has shape \[\], expected"):
    load_dataset(saved(tmp_path, obs=3.0), SPEC)
  with pytest.raises(ValueError, match="reward has values that are not finite"):
    load_dataset(saved(tmp_path, reward=np.full(12, np.nan)), SPEC)
  with pytest.raises(UsageError, match=r"set --config.capacity=12"):
    make(saved(tmp_path), capacity=5).init()
  with pytest.raises(UsageError, match=r"needs --config.real_ratio=1"):
    make(saved(tmp_path), real_ratio=0.5)
