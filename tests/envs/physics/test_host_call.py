"""Tests calls of the host from compiled code: same values as a callback, no dead-lock."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from mbrl_jax.envs import make_env


def test_pure_callback_gives_the_same_numbers(monkeypatch):
  physics = make_env("cartpole", "mujoco").physics
  state = physics.init(np.float32([0.5, 3.0]), np.float32([-1.0, 2.0]))
  want = physics.step(state, np.float32([1.0]))
  monkeypatch.setattr(jax.lax, "platform_dependent", lambda *x, cpu, default: default(*x))
  got = physics.step(state, np.float32([1.0]))
  jax.tree.map(np.testing.assert_array_equal, got, want)


BATCHES = """
import hashlib, jax, numpy as np
from jax.sharding import Mesh, PartitionSpec
from mbrl_jax.envs import make_env
env = make_env("cartpole", "mujoco")
def episode(key, steps):
  def body(state, key):
    action = jax.random.uniform(key, (1,), minval=-3.0, maxval=3.0)
    state, transition = env.step(state, action, key)
    return state, transition.reward
  return jax.lax.scan(body, env.reset(key), jax.random.split(key, steps))
digest = hashlib.sha256()
for batch, steps in ((1, 200), (64, 50), (1024, 20), (16384, 2)):
  keys = jax.random.split(jax.random.key(batch), batch)
  state, rewards = jax.jit(jax.vmap(lambda key: episode(key, steps)))(keys)
  for leaf in jax.tree.leaves((state, rewards)):
    digest.update(np.asarray(leaf).tobytes())
mesh, rows = Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows")
shards = jax.shard_map(
  jax.vmap(lambda key: episode(key, steps)),
  mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False,
)
np.testing.assert_array_equal(np.asarray(jax.jit(shards)(keys)[1]), np.asarray(rewards))
print(digest.hexdigest())
"""


def start_batches(devices):
  flags = f"--xla_force_host_platform_device_count={devices}"
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
  return subprocess.Popen([sys.executable, "-c", BATCHES], env=environment, **pipes)


@pytest.mark.slow
def test_no_batch_dead_locks_and_processes_agree_bit_for_bit():
  """Runs two processes at once, on one and two XLA devices; a dead-lock times out."""
  digests, processes = [], [start_batches(devices) for devices in (1, 2)]
  try:
    for process in processes:
      out, err = process.communicate(timeout=150)
      assert process.returncode == 0, err
      digests.append(out.split()[-1])
  finally:
    for process in processes:
      process.kill()
  assert digests[0] == digests[1]
