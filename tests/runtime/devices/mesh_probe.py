"""Trains four seeds, each in two environments, on one, two and four forced host devices."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms.step import init_state, make_step
from mbrl_jax.runtime.devices.mesh import make_mesh, over_seeds, shard_seeds
from mbrl_jax.runtime.storage import pytree_io, run_folder
from mbrl_jax.runtime.training import loop
from tests.support.runtime_probe import ProbeEnv, probe_algorithm

SEEDS = [3, 4, 5, 6]
ENV, ALGORITHM, ENVS = ProbeEnv(), probe_algorithm(), 2


def make(devices):
  """Makes the training step and the initial state."""
  keys = jax.vmap(jax.random.key)(jnp.array(SEEDS))
  state = jax.vmap(lambda key: init_state(ALGORITHM, ENV, key, ENVS))(keys)
  step = make_step(ALGORITHM, ENV, steps=4, envs=ENVS, seeds=len(SEEDS) // devices)
  if devices == 1:
    return step, state
  mesh = make_mesh(seeds=devices, devices=jax.devices()[:devices])
  return over_seeds(step, mesh), shard_seeds(state, mesh)


def run(path, total, devices, resume=False):
  step, state = make(devices)
  folder = run_folder.open_run(path) if resume else run_folder.create(path, {"algo": "probe"})
  schedule = loop.Schedule(total_steps=total)
  return loop.train(step, state, folder, schedule, seeds=SEEDS, envs=ENVS, resume=resume).state


def max_difference(one, other):
  pairs = zip(pytree_io.flatten(one).values(), pytree_io.flatten(other).values(), strict=True)
  return max(float(np.abs(np.float64(a) - np.float64(b)).max()) for a, b in pairs if a.size)


def main(folder):
  whole = run(folder / "whole", 24, 1)
  gaps, used = {}, {}
  for name, first, then in (("2 then 4", 2, 4), ("4 then 1", 4, 1)):
    run(folder / name, 12, first)
    state = run(folder / name, 24, then, resume=True)
    gaps[name] = max_difference(whole, state)
    used[name] = len(state.learn.w.sharding.device_set)
  step, state = make(4)
  program = step.lower(state).compile().as_text()
  return {
    "devices": jax.device_count(),
    "gaps": gaps,
    "used": used,
    "shards": sorted(
      {
        x.data.shape[0]
        for x in shard_seeds(state, make_mesh(seeds=-1)).steps.addressable_shards
      }
    ),
    "collectives": re.findall(r"all-\w+|collective-\w+", program),
    "errors": errors(),
  }


def errors():
  """Returns the errors of invalid meshes and states by name."""
  attempts = {
    "too few": lambda: make_mesh(seeds=2),
    "no divisor": lambda: make_mesh(seeds=3, candidates=-1),
    "two free": lambda: make_mesh(seeds=-1, candidates=-1),
    "zero": lambda: make_mesh(particles=0),
    "seeds": lambda: shard_seeds({"w": jnp.zeros((6, 2))}, make_mesh(seeds=4)),
    "no axis": lambda: shard_seeds({"w": jnp.zeros(())}, make_mesh(seeds=4)),
  }
  messages = {}
  for name, attempt in attempts.items():
    try:
      attempt()
    except ValueError as error:
      messages[name] = str(error)
  return messages


if __name__ == "__main__":
  print(json.dumps(main(Path(sys.argv[1]))))
