"""Steps batches of walks and inspects their worker processes."""

import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp

KEY = jax.random.key(0)


def begin(env, rows):
  return jax.vmap(env.reset)(jax.random.split(KEY, rows))


def step(env, states, actions):
  actions = jnp.asarray(actions, jnp.float32)[:, None]
  return jax.vmap(env.step, (0, 0, None))(states, actions, KEY)


def pids(env):
  return [process._process.pid for process in env.hosts._processes.values()]


def gone(pid):
  """Returns whether a process has ended, waiting up to ten seconds."""
  for _ in range(100):
    try:
      os.kill(pid, 0)
      stat = Path(f"/proc/{pid}/stat")
      if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
        return True  # a zombie, whose parent was killed
    except (ProcessLookupError, FileNotFoundError):
      return True
    time.sleep(0.1)
  return False
