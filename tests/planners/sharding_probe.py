"""Plans on one device and on eight forced host devices; prints the comparison as JSON.

python sharding_probe.py evaluate/TSinf/candidates/16 plan/pendulum/particles/mppi ...
"""

from __future__ import annotations

import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs import env_dynamics, make_env
from mbrl_jax.models import as_dynamics, make_ensemble
from mbrl_jax.planners import cem, make_evaluate, make_planner, mppi
from mbrl_jax.runtime.devices.mesh import make_mesh, replicated, row_sharding

MESHES = {
  "candidates": {"candidates": 8},
  "particles": {"particles": 8},
  "slices": {"slices": 4, "candidates": 2},
  "all": {"slices": 2, "candidates": 2, "particles": -1},
}
KEY = jax.random.key(3)
COLLECTIVE = re.compile(r"all-gather|all-reduce|collective-permute|all-to-all|reduce-scatter")


def system(name):
  """Returns dynamics, params and state: ``TSinf``, ``TSinf-keys``, ``TS1``, ``MM``, an env."""
  propagation, _, keys = name.partition("-")
  if propagation not in ("TSinf", "TS1", "MM"):
    env = make_env(*name.split("-"))
    return env_dynamics(env), None, env.reset(jax.random.key(1))
  ensemble = make_ensemble("PE", 4, (32, 32))
  dynamics = as_dynamics(
    ensemble,
    reward=lambda obs, action, next_obs: next_obs.sum(),
    terminated=lambda obs, action, next_obs: next_obs[0] > 1.0,
    propagation=propagation,
    outputs=None if keys else 3,
  )
  return dynamics, ensemble.init(jax.random.key(0), jnp.zeros(4), jnp.zeros(3)), jnp.zeros(3)


def evaluation(name, axis, count):
  """Scores ``count`` plans."""
  dynamics, params, state = system(name)
  plans = jax.random.normal(jax.random.key(1), (int(count), 5, 1))
  return compare(lambda **options: score(dynamics, **options), axis, params, state, plans, KEY)


def planning(name, axis, search):
  """Takes one control step of a planner."""
  dynamics, params, state = system(name)
  search = {"cem": lambda: cem(24, 5), "mppi": lambda: mppi(32)}[search]()
  bounds = {"action_low": [-1.0], "action_high": [1.0]}

  def make(**options):
    evaluate = score(dynamics, **options)
    return make_planner(search, evaluate, horizon=6, iterations=3, **bounds)

  start = make().init()
  return compare(lambda **options: make(**options).plan, axis, params, state, start, KEY)


def score(dynamics, **options):
  return make_evaluate(dynamics, particles=32, **options)


def compare(make, axis, *args):
  """Runs ``make(sharding=...)`` on one device and on all devices of the mesh.

  Returns a dictionary: ``gap``, the largest difference; ``size``, the largest result; ``share``
  of the operations that one device of the mesh runs; element counts of its ``collectives``.
  """
  mesh = make_mesh(**MESHES[axis])
  # Operations in loops are not counted, so both programs must have the same loops.
  options = {"map_slices": mesh.shape["slices"] == 1}
  single = jax.jit(make(**options)).lower(*args).compile()
  sharded = make(sharding=row_sharding(mesh), **options)
  sharded = jax.jit(sharded, in_shardings=replicated(mesh)).lower(*args).compile()
  expected, found = floats(single(*args)), floats(sharded(*args))
  operations = [program.cost_analysis()["flops"] for program in (sharded, single)]
  return {
    "gap": max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True)),
    "size": max(float(np.abs(x).max()) for x in expected),
    "share": operations[0] / operations[1],
    "collectives": sorted(set(collectives(sharded.as_text()))),
  }


def floats(tree):
  arrays = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
  return [np.asarray(x) for x in arrays if x.size]


def collectives(text):
  """Yields the number of elements that each collective of a compiled program returns."""
  for line in text.splitlines():
    found = re.search(r" = \(?\w+\[([\d,]*)\].*? (all|collective|reduce)-[\w-]+\(", line)
    if found and COLLECTIVE.search(line):
      yield int(np.prod([int(size) for size in found.group(1).split(",") if size] or [1]))


if __name__ == "__main__":
  kinds = {"evaluate": evaluation, "plan": planning}
  cases = {name: name.split("/") for name in sys.argv[1:]}
  comparisons = {name: kinds[kind](*rest) for name, (kind, *rest) in cases.items()}
  print(json.dumps({"devices": jax.device_count(), "cases": comparisons}))
