"""One of several processes that plan on shared devices; prints its actions as JSON."""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.models import as_dynamics, make_ensemble
from mbrl_jax.planners import cem, make_evaluate, make_planner
from mbrl_jax.runtime.devices import distributed
from mbrl_jax.runtime.devices.mesh import make_mesh, replicated, row_sharding


def make(sharding=None):
  """Makes a planner and its model's parameters."""
  ensemble = make_ensemble("PE", 4, (16, 16))
  dynamics = as_dynamics(
    ensemble,
    reward=lambda obs, action, next_obs: next_obs.sum(),
    terminated=lambda obs, action, next_obs: next_obs[0] > 2.0,
    outputs=3,
  )
  evaluate = make_evaluate(dynamics, particles=8, sharding=sharding)
  bounds = {"action_low": [-1.0], "action_high": [1.0]}
  planner = make_planner(cem(32, 6), evaluate, horizon=5, iterations=3, **bounds)
  return planner, ensemble.init(jax.random.key(0), jnp.zeros(4), jnp.zeros(3))


def episode(planner, params, layout=None):
  """Plans three consecutive actions; returns them and the number of recompilations."""
  plan, state = jax.jit(planner.plan), planner.init()
  if layout is not None:
    plan = jax.jit(planner.plan, in_shardings=layout, out_shardings=layout)
    params, state = jax.device_put((params, state), layout)
  obs, actions, recompiled = np.zeros(3, np.float32), [], []
  for step in range(3):
    if step == 1:
      jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: recompiled.append(name) if "backend_compile" in name else None
      )
    output, state = plan(params, obs, state, jax.random.key(step))
    actions.append(float(output.action[0]))
    obs = obs + np.float32(actions[-1])
  jax.monitoring.clear_event_listeners()
  return {"actions": actions, "compiled": len(recompiled)}


def main(coordinator, processes, index):
  distributed.initialize(coordinator, processes, index, timeout=60)
  mesh = make_mesh(candidates=-1)
  planner, params = make(row_sharding(mesh))
  sharded = episode(planner, params, replicated(mesh))
  planner, params = make()
  return {
    "devices": jax.device_count(),
    "local": jax.local_device_count(),
    "first": distributed.is_first(),
    "sharded": sharded,
    "alone": episode(planner, params),
  }


if __name__ == "__main__":
  print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
