"""Tests that large batches of MJX on CPUs terminate, however slowly."""

import os
import subprocess
import sys

import pytest

BATCH = 1024
SECONDS = 800
"""Time limit: two compilations of a minute each, on a machine that is five times slower."""

RUN = """
import faulthandler, sys
faulthandler.dump_traceback_later({limit}, exit=True)  # prints where it waits
import jax, jax.numpy as jnp
from mbrl_jax.envs import make_env
for name, steps in (("cartpole", 20), ("halfcheetah", 3)):
  env = make_env(name, "mjx")
  def run(key):
    def body(state, key):
      action = jax.random.uniform(key, (env.spec.action_dim,), minval=-1.0)
      return env.step(state, action, key)[0], None
    return jax.lax.scan(body, env.reset(key), jax.random.split(key, steps))[0].obs
  obs = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), {batch}))
  assert jnp.isfinite(obs).all()
  print(name, "done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_large_batches_terminate():
  """Without and with contacts: MJX's solver uses LAPACK, which can dead-lock."""
  script = RUN.format(limit=SECONDS - 20, batch=BATCH)
  environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
  done = subprocess.run(
    [sys.executable, "-c", script],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
    timeout=SECONDS,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == ["cartpole", "done", "halfcheetah", "done"]
