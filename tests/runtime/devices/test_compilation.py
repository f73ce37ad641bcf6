"""Meshes, seeds on several devices, and what a run on several of them leaves."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options
from mbrl_jax.runtime.devices.mesh import (
  AXES,
  make_mesh,
  replicated,
  row_sharding,
  use_cpu_devices,
)
from mbrl_jax.runtime.storage.csv_log import read_table

ROOT = pathlib.Path(__file__).resolve().parents[3]
PYTHONPATH = os.pathsep.join(map(str, (ROOT, ROOT / "tests/support")))
ENVIRON = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": PYTHONPATH}
  "JAX_PLATFORMS": "cpu",
  "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/support'}",
}


def child(*command, flags="", status=0, timeout=280):
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
def answer(tmp_path_factory):
  flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
  probe = pathlib.Path(__file__).with_name("mesh_probe.py")
  said = child(probe, tmp_path_factory.mktemp("mesh"), flags=flags)
  return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("name, devices", [("2 then 4", 4), ("4 then 1", 1)])
def test_seeds_on_devices_train_as_on_one_and_resume_on_other_numbers(answer, name, devices):
  assert answer["devices"] == 4
  assert answer["gaps"][name] < 1e-5
  assert answer["spread"][name] == devices


def test_each_device_works_on_its_seeds_alone(answer):
  assert answer["parts"] == [1]
  assert answer["collectives"] == []


@pytest.mark.parametrize(
  "name, message",
  [
    ("too few", "seeds=2, slices=1, candidates=1, particles=1): the sizes make 2, not 4"),
    ("no divisor", "the sizes do not divide the 4 devices; there are 4 of kind 'cpu'"),
    ("two free", "at most one is -1"),
    ("zero", "sizes are at least 1"),
    ("seeds", "Leaf ['w'] has shape [6, 2]: its first axis must be the seeds, a multiple of"),
    ("no axis", "Leaf ['w'] has shape []"),
  ],
)
def test_what_cannot_be_laid_out_is_named(answer, name, message):
  assert message in answer["errors"][name]


def test_a_mesh_of_one_device_changes_nothing():
  mesh = make_mesh(candidates=-1, devices=jax.devices()[:1])
  assert mesh.axis_names == AXES and mesh.size == 1
  assert row_sharding(mesh).spec == PartitionSpec("slices", "candidates", "particles")
  assert replicated(mesh).is_fully_replicated


def test_cores_become_devices_only_before_jax_computes():
  code = (
    "import jax; from mbrl_jax.runtime.devices.mesh import use_cpu_devices;"
    "use_cpu_devices(3); print(jax.device_count()); use_cpu_devices(3); use_cpu_devices(2)"
  )
  said = child("-c", code, status=1)
  assert "jax_num_cpu_devices" in said and "RuntimeError" in said
  before = jax.config.jax_num_cpu_devices
  jax.devices()
  with pytest.raises(RuntimeError, match="jax_num_cpu_devices"):
    use_cpu_devices(max(before, 0) + 7)


def test_compiler_options_are_those_of_cpus_only():
  options = compiler_options("cpu")
  assert "xla_cpu_scheduler_type" in options and compiler_options("tpu") == {}
  compiled, seconds = compile_ahead(
    jax.jit(lambda x: x + 1, compiler_options=options), jnp.zeros(3)
  )
  assert seconds > 0 and (np.asarray(compiled(jnp.zeros(3))) == 1).all()
  with pytest.raises(TypeError):
    compiled(jnp.zeros(4))


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
  said = child("-m", "experiments.train", "--seeds=4", "--devices=3", status=2)
  assert said.strip().startswith("error: --devices=3 does not divide --seeds=4")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_program_trains_the_same_on_two_devices_and_resumes_on_one(tmp_path):
  """Its environment calls back to the host from both devices at once."""
  tables = []
  for devices in (1, 2):
    folder = f"--logdir={tmp_path / str(devices)}"
    child("-m", "experiments.train", *TINY, folder, f"--devices={devices}")
    tables.append(read_table(tmp_path / str(devices) / "metrics.csv"))
  resumed = [f"--logdir={tmp_path / '2'}", "--resume", "--step=20"]
  child("-m", "experiments.train", *resumed)
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


def test_what_plans_is_evaluated_on_two_devices():
  """The states of its planner have arrays without elements, which XLA lays out as it likes."""
  assert child("-c", EVALUATE, flags="--xla_backend_optimization_level=0").strip() == "(2, 2)"


@pytest.mark.parametrize(
  ("platforms", "message"),
  [("tpu", r"JAX_PLATFORMS=tpu: .*pip install 'mbrl_jax\[tpu\]'"), ("abacus", "or unset")],
)
def test_a_device_that_is_not_there(platforms, message):
  command = [sys.executable, "-m", "experiments.train", "--algo=sac", "--env=pendulum"]
  variables = ENVIRON | {"JAX_PLATFORMS": platforms}
  done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
  assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
  assert "Traceback" not in done.stderr
