"""Speed of tasks and of bare rollouts: equal trajectories, and a table of both."""

import csv
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.benchmark.measures import envs
from experiments.benchmark.peers import ours_envs
from experiments.benchmark.peers.worker import ROOT

BATCHES = ["Batch from Python", "Batch and look from Python"]
SYSTEMS = ["from Python", "one program", *BATCHES, "rollout from Python", "one rollout"]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["cartpole", "leg2r"])  # without and with motor commands
def test_all_systems_compute_the_same_trajectory(name, batch):
  jobs = ours_envs.Jobs()
  built = jobs.setup_envs(name, batch, "mujoco", turn_seconds=0.001)
  assert built["systems"] == SYSTEMS and built["compile_seconds"] > 0
  assert built["steps"] == len(jobs.actions) >= ours_envs.MIN_STEPS
  physics = jobs.end.physics
  expected = np.concatenate([physics.qpos, physics.qvel], -1).reshape(batch, -1)
  stepwise = jobs.turns["rollout from Python"]()
  whole = jobs.turns["one rollout"]()[0][:, -1]
  for states in (stepwise, whole, *(jobs.turns[system]() for system in BATCHES)):
    got = states[:, 1 : 1 + expected.shape[1]]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(states[:, 0], jobs.steps * jobs.task.spec.dt, rtol=1e-6)
  for system in SYSTEMS:
    assert jobs.turn(system)["rate"] > 0


def test_analytic_tasks_have_no_systems():
  assert ours_envs.Jobs().setup_envs("pendulum", 1, "mujoco", 0.001) == {"systems": []}


@pytest.mark.slow
def test_program_writes_ratios_to_bare_mujoco(tmp_path):
  command = [sys.executable, "-m", "experiments.benchmark", "--what=envs", "--rounds=2"]
  command += ["--envs=pendulum,cartpole", "--turn_seconds=0.001", f"--out={tmp_path / 'speed'}"]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  rows = list(csv.DictReader((tmp_path / "speed.csv").open()))
  cases = [f"cartpole mujoco x{batch}" for batch in envs.BATCHES["mujoco"]]
  assert list(dict.fromkeys(row["system"] for row in rows)) == cases
  for case in cases:
    found = {row["figure"]: float(row["value"]) for row in rows if row["system"] == case}
    assert set(found) == {*SYSTEMS, *envs.SHARES, "compile"}
    assert all(np.isfinite(value) and value > 0 for value in found.values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mjx_steps_one_program():
  jobs = ours_envs.Jobs()
  built = jobs.setup_envs("cartpole", 1, "mjx", 0.001)
  assert built["systems"] == ["one program"] and jobs.turn("one program")["rate"] > 0
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jobs.end.physics))
