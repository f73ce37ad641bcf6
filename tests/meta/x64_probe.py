"""Prints 64-bit leaves and numbers, for ``test_x64`` in a process with x64 enabled.

JAX_ENABLE_X64=1 python x64_probe.py all
"""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms import (
  default_config,
  init_state,
  list_algorithms,
  make_algorithm,
  make_evaluation,
  make_step,
)
from mbrl_jax.buffers import ring
from mbrl_jax.envs import list_envs, make_env
from mbrl_jax.learners import SACHyperparams, make_ars, make_sac
from mbrl_jax.models import as_dynamics, fit, init_optimizer, make_ensemble, make_optimizer
from mbrl_jax.ops import gaussian, noise, risk
from mbrl_jax.types import EnvState, Transition

KEY = jax.random.key(0)
FEW = ("pendulum", "dclaw_turn")
QUICK = ("sac", "npg")


def wide(tree):
  """Lists the 64-bit leaves."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return [f"{jax.tree_util.keystr(p)} {x.dtype}" for p, x in leaves if "64" in str(x.dtype)]


def step_of(name):
  env = make_env(name)
  state = jax.eval_shape(env.reset, KEY)
  action = jnp.zeros(env.spec.action_dim)
  return state, jax.eval_shape(env.step, state, action, KEY), jax.eval_shape(env.pose, state)


class Wide:
  """A user's environment with 64-bit states and observations."""

  spec = make_env("pendulum").spec

  def reset(self, key):
    obs = jax.random.uniform(key, (3,), jnp.float64 if jax.config.jax_enable_x64 else None)
    return EnvState(obs, obs, jnp.zeros((), jnp.int32))

  def step(self, state, action, key):
    obs = 0.9 * state.obs + 0.1 * action[0]
    flag = jnp.zeros((), bool)
    transition = Transition(state.obs, action, -jnp.sum(obs**2), obs, flag, state.steps >= 4)
    return EnvState(obs, obs, state.steps + 1), transition

  def pose(self, state):
    return state.obs


def algorithm_of(name, env):
  """Returns the shapes of state, metrics, parameters and evaluation of an algorithm."""
  needed = {"dataset": "there.npz"} if name in ("dagger", "morel") else {}
  config = dataclasses.replace(default_config(name), **needed)
  algorithm = make_algorithm(name, env.spec, config)
  state = jax.eval_shape(lambda key: init_state(algorithm, env, key), KEY)
  after, metrics = jax.eval_shape(make_step(algorithm, env, steps=2), state)
  params = jax.eval_shape(algorithm.params, state)
  evaluated = jax.eval_shape(make_evaluation(algorithm, env), params, KEY)
  dtypes = lambda tree: [x.dtype for x in jax.tree.leaves(tree)]
  assert dtypes(state) == dtypes(after)
  rollout = state.rollout._replace(env=())
  return state._replace(rollout=rollout), metrics, params, evaluated


def numbers():
  """Returns arrays that must be the same with and without x64."""
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))  # float64, as numpy makes them
  model, optimizer = make_ensemble("PE", 2, (4,)), make_optimizer(0.02)
  params = model.init(KEY, x, y)
  begun = init_optimizer(model, optimizer, params)
  fitted = fit(
    model, params, begun, jnp.asarray(x), jnp.asarray(y), 12, KEY,
    optimizer=optimizer, epochs=2, batch_size=4, holdout=0.2,
  )  # fmt: skip
  reward = lambda obs, action, next_obs: -jnp.sum(next_obs**2)
  ended = lambda obs, action, next_obs: obs[0] > 9
  moment = as_dynamics(model, reward=reward, terminated=ended, propagation="DS", outputs=2)
  predicted = moment.step(
    fitted.params, jnp.asarray(x[0, :2]), jnp.ones(1), moment.noise(KEY, ())
  )
  assert predicted[0].dtype == jnp.asarray(x).dtype  # the state keeps its own width
  sac = make_sac(3, [-2.0], [2.0], hidden=(4,))
  ars = make_ars(3, [-1.0], [1.0], directions=2, top=1)
  actor, search = sac.init(KEY, SACHyperparams()), ars.init(KEY)
  moved = ars.update(ars.observe(search, np.ones(3)), np.ones((2, 2)), KEY)
  buffer = ring.add(ring.init(4, jnp.zeros(2, jnp.float32)), jnp.ones(2, jnp.float32))
  env = make_env("pendulum", action_noise=0.1)
  state = env.reset(KEY)
  return {
    "fit": fitted,
    "predicted": jnp.float32(predicted[0]),
    "sac": (actor, sac.act(actor.nets.actor, np.ones(3), KEY, False)),
    "ars": moved,
    "ring": (buffer, ring.sample(buffer, KEY, 3)),
    "task": (state, env.step(state, jnp.ones(1), KEY)),
    "noise": noise.coloured_normal(KEY, (2, 4, 1), jnp.float32(2.0)),
    "risk": risk.cvar(0.4)(jnp.arange(5, dtype=jnp.float32)),
    "variance": gaussian.positive_sqrt(jnp.float32(2.0)),
  }


def plain_numbers():
  """Returns lists of numbers, by name, and the names of the 64-bit ones."""
  plain = lambda x: (
    jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
  )
  made = jax.tree.map(lambda x: plain(jnp.asarray(x)), numbers())
  leaves = jax.tree_util.tree_flatten_with_path(made)[0]
  values = {jax.tree_util.keystr(p): np.asarray(x).ravel().tolist() for p, x in leaves}
  return values, wide(made)


def main():
  everything = sys.argv[1] == "all"
  found = {name: wide(step_of(name)) for name in (list_envs() if everything else FEW)}
  for name in list_algorithms() if everything else QUICK:
    for env in (make_env("pendulum"), Wide()):
      traced = algorithm_of(name, env)
      found[f"{name} {type(env).__name__}"] = wide(traced)
  values, found["numbers"] = plain_numbers()
  print(json.dumps({"wide": found, "numbers": values}))


if __name__ == "__main__":
  main()
