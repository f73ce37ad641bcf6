"""Resets four rows in two worker processes, prints their process ids and ends as requested.

Not guarded by ``__name__``, so that a process that runs it again is detected.
"""

import os
import signal
import sys
import time

import jax
import jax.numpy as jnp
from worker_walks import ReportingWalk, Sleeping

from mbrl_jax import from_gymnasium

print("started", flush=True)
ending = sys.argv[1]
env = from_gymnasium(ReportingWalk, workers=2)
states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 4))
print(*sorted({int(pid) for pid in states.obs[:, 0]}), flush=True)
if ending == "raise":
  raise RuntimeError("enough")
if ending == "hang":
  sleeping = from_gymnasium(Sleeping, workers=1)
  step = jax.jit(sleeping.step)
  state = sleeping.reset(jax.random.key(0))
  print(*(process._process.pid for process in sleeping.hosts._processes.values()), flush=True)
  jax.block_until_ready(step(state, jnp.ones(1), jax.random.key(0)))
if ending == "interrupt":
  os.killpg(0, signal.SIGINT)
if ending == "kill":
  os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
