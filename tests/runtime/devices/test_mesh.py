"""Meshes, and training and evaluation of seeds on several devices."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from mbrl_jax.runtime.devices.mesh import (
  AXES,
  make_mesh,
  replicated,
  row_sharding,
  use_cpu_devices,
)
from mbrl_jax.runtime.storage.csv_log import read_table

ROOT = pathlib.Path(__file__).resolve().parents[3]
ENVIRON = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


def run_program(*command, flags="", status=0, timeout=280):
  done = subprocess.run(
    [sys.executable, *map(str, command)],
    cwd=ROOT,
    env=ENVIRON | {"XLA_FLAGS": flags},
    capture_output=True,
    text=True,
    timeout=timeout,
    check=False,
  )
  assert done.returncode == status, done.stdout[-2000:] + done.stderr[-3000:]
  return done.stdout if status == 0 else done.stderr


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
  flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
  program = pathlib.Path(__file__).with_name("mesh_probe.py")
  output = run_program(program, tmp_path_factory.mktemp("mesh"), flags=flags)
  return json.loads(output.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name, devices", [("2 then 4", 4), ("4 then 1", 1)])
def test_seeds_train_and_resume_the_same_on_any_number_of_devices(probe, name, devices):
  assert probe["devices"] == 4
  assert probe["gaps"][name] < 1e-5
  assert probe["used"][name] == devices


@pytest.mark.slow
def test_seeds_need_no_communication_between_devices(probe):
  assert probe["shards"] == [1]
  assert probe["collectives"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
  "name, message",
  [
    ("too few", "seeds=2, slices=1, candidates=1, particles=1): the sizes make 2, not 4"),
    ("no divisor", "the sizes do not divide the 4 devices of kind 'cpu'"),
    ("two free", "at most one -1"),
    ("zero", "sizes must be at least 1"),
    ("seeds", "Leaf ['w'] has shape [6, 2]: its first axis must be the seeds, a multiple of"),
    ("no axis", "Leaf ['w'] has shape []"),
  ],
)
def test_invalid_meshes_and_shapes_are_named(probe, name, message):
  assert message in probe["errors"][name]


def test_a_mesh_of_one_device_changes_nothing():
  mesh = make_mesh(candidates=-1, devices=jax.devices()[:1])
  assert mesh.axis_names == AXES and mesh.size == 1
  assert row_sharding(mesh).spec == PartitionSpec("slices", "candidates", "particles")
  assert replicated(mesh).is_fully_replicated


def test_cpu_devices_are_set_before_jax_computes():
  code = (
    "import jax; from mbrl_jax.runtime.devices.mesh import use_cpu_devices;"
    "use_cpu_devices(3); print(jax.device_count()); use_cpu_devices(3); use_cpu_devices(2)"
  )
  output = run_program("-c", code, status=1)
  assert "jax_num_cpu_devices" in output and "RuntimeError" in output
  before = jax.config.jax_num_cpu_devices
  jax.devices()
  with pytest.raises(RuntimeError, match="jax_num_cpu_devices"):
    use_cpu_devices(max(before, 0) + 7)


TINY = [
  "--env=cartpole",
  "--physics=mujoco",
  "--env.episode_length=10",
  "--config.trials=2",
  "--config.model.hidden=(8,)",
  "--config.model.weight_decay=(1e-4,1e-4)",
  "--config.planner.samples=10",
  "--config.planner.elites=2",
  "--config.planner.horizon=3",
  "--seeds=4",
  "--eval_every=1",
  "--video=False",
]


def test_devices_must_divide_the_seeds():
  output = run_program("-m", "experiments.train", "--seeds=4", "--devices=3", status=2)
  assert output.strip().startswith("error: --devices=3 does not divide --seeds=4")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_program_trains_the_same_on_two_devices_and_resumes_on_one(tmp_path):
  """Its environment calls back to the host from both devices at once."""
  tables = []
  for devices in (1, 2):
    folder = f"--logdir={tmp_path / str(devices)}"
    run_program("-m", "experiments.train", *TINY, folder, f"--devices={devices}")
    tables.append(read_table(tmp_path / str(devices) / "metrics.csv"))
  resumed = [f"--logdir={tmp_path / '2'}", "--resume", "--step=20"]
  run_program("-m", "experiments.train", *resumed)
  tables.append(read_table(tmp_path / "2" / "metrics.csv"))
  for table in tables[1:]:
    assert len(table) == len(tables[0]) == 12
    for row, other in zip(tables[0], table, strict=True):
      for name in ("seed", "step", "return", "model/loss", "eval/return"):
        if name in row:
          np.testing.assert_allclose(row[name], other[name], rtol=1e-3, atol=1e-3)


EVALUATE = """
import jax
from experiments import job, run_settings
values = {"agent.hidden": (8,), "world_model.hidden": (8,), "world_model.weight_decay": (1e-4,),
  "agent.batch_size": 4, "lookahead.samples": 8, "lookahead.elites": 2}
task = job.build(run_settings.make_settings(algo="loop", env="linear_quadratic", preset="cpu",
  physics="auto", seed=0, seeds=2, env_overrides={"episode_length": 3},
  config_overrides=values), devices=2)
state = task.init()
print(task.evaluation(2, state)[0](state, jax.random.key(0))["return"].shape)
"""


@pytest.mark.slow
def test_a_planner_is_evaluated_on_two_devices():
  """Its planner's state has arrays without elements, whose layout XLA chooses."""
  assert (
    run_program("-c", EVALUATE, flags="--xla_backend_optimization_level=0").strip() == "(2, 2)"
  )
