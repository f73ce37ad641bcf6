"""A program that steps four rows in two worker processes, says which, and then ends as told.

Not guarded by ``__name__``: a process that ran it once more would be seen.
"""

import os
import signal
import sys
import time

import jax
import jax.numpy as jnp
from worker_walks import Sleeping, Told

from mbrl_jax import from_gymnasium

print("started", flush=True)
fate = sys.argv[1]
told = from_gymnasium(Told, workers=2)
states = jax.jit(jax.vmap(told.reset))(jax.random.split(jax.random.key(0), 4))
print(*sorted({int(pid) for pid in states.obs[:, 0]}), flush=True)
if fate == "raise":
  raise RuntimeError("enough")
if fate == "hang":
  env = from_gymnasium(Sleeping, workers=1)
  step = jax.jit(env.step)
  state = env.reset(jax.random.key(0))
  print(*(process._process.pid for process in env.hosts._processes.values()), flush=True)
  jax.block_until_ready(step(state, jnp.ones(1), jax.random.key(0)))
if fate == "interrupt":
  os.killpg(0, signal.SIGINT)
if fate == "kill":
  os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
