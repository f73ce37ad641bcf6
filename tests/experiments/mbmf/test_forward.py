"""The open-loop prediction of the last rollout: from where, by which actions, against what."""

from __future__ import annotations

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from mbmf_files import run_folder

from experiments.mbmf import forward
from mbrl_jax.types import Dynamics


@pytest.fixture
def model(tmp_path, monkeypatch):
  """A run whose model adds twice the action to the observation, with two rollouts."""
  walk = lambda params, obs, action, key: (obs + params * action, 0.0, jnp.zeros((), bool))
  diagnostics = SimpleNamespace(dynamics=Dynamics(walk), params=lambda state: state)
  task = SimpleNamespace(
    algorithm=SimpleNamespace(diagnostics=diagnostics),
    env=SimpleNamespace(spec=SimpleNamespace(name="swimmer")),
    init=lambda: None,
  )
  restored = SimpleNamespace(
    steps=lambda: [7], restore=lambda template: SimpleNamespace(state=jnp.float32(2.0))
  )
  monkeypatch.setattr(forward.job, "build_run", lambda folder: task)
  monkeypatch.setattr(forward, "Checkpoints", lambda path: restored)
  rng, folder = np.random.default_rng(0), run_folder(tmp_path / "model")
  logs = {
    "observations": np.float32(rng.normal(size=(2, 5, 2))),
    "actions": np.float32(rng.normal(size=(2, 4, 2))),
    "rewards": np.zeros((2, 4), np.float32),
    "poses": np.zeros((2, 4, 1), np.float32),
    "lengths": np.array([4, 3]),
    "steps": np.array([4, 7]),
    "random": np.array([False, False]),
    "terminated": np.array([False, True]),
    "returns": np.zeros((1, 2)),
  }
  np.savez(folder / "logs.npz", **logs)
  return folder, logs


def test_the_last_rollout_is_predicted_from_its_first_observation_and_actions(model):
  folder, logs = model
  found = forward.simulate(folder)
  obs, actions = logs["observations"][1], logs["actions"][1, :3]
  np.testing.assert_array_equal(found.truth, obs[1:4])
  want = obs[0] + 2 * np.cumsum(actions, 0)
  np.testing.assert_allclose(found.predicted.mean(1), want, rtol=1e-5)
  assert found.title == "swimmer: rollout that ended at step 7"


def test_a_run_without_a_rollout_of_the_planner_has_no_prediction(model):
  folder, logs = model
  np.savez(folder / "logs.npz", **{**logs, "random": np.array([False, True])})
  assert forward.simulate(folder) is None
  (folder / "logs.npz").unlink()
  assert forward.simulate(folder) is None
