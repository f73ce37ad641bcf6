"""Small runs of Game-MBRL, for the tests of PAL, MAL and MOReL."""

import dataclasses

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms import game, init_state, make_algorithm, make_step, morel
from mbrl_jax.algorithms.parts.difference_nets import DifferenceModelConfig
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig
from mbrl_jax.envs import make_env

MODEL = DifferenceModelConfig(members=2, hidden=(8,), batch_size=16, epochs=2)
SHARED = {
  "policy_steps": 2,
  "paths": 4,
  "horizon": 6,
  "world_model": MODEL,
  "policy": PolicyConfig(hidden=(8,)),
  "baseline": BaselineConfig(hidden=(8,), batch_size=32),
}
ONLINE = {"steps": 80, "init_steps": 40, "update_every": 20, "capacity": 60, **SHARED}
CONFIGS = {
  "pal": game.Config(**ONLINE),
  "mal": game.MALConfig(**ONLINE),
  "morel": morel.Config(
    dataset="rows.npz",
    steps=20,
    update_every=5,
    capacity=50,
    cloning_epochs=3,
    cloning_batch_size=16,
    **{**SHARED, "policy_steps": 1},
  ),
}
ENV = make_env("pendulum", episode_length=15)


def changed(name, world_model=None, **changes):
  """Returns a small config with changes, those of the model apart."""
  config = dataclasses.replace(CONFIGS[name], **changes)
  model = dataclasses.replace(config.world_model, **(world_model or {}))
  return dataclasses.replace(config, world_model=model)


def train(name, calls, env=ENV, envs=1, seeds=None, start=None, config=None, **changes):
  """Returns the algorithm, states and update metrics of each call, and the compiled step."""
  config = changed(name, **changes) if config is None else config
  algorithm = make_algorithm(name, env.spec, config)
  begin = start or (lambda algorithm, key: init_state(algorithm, env, key, envs))
  if seeds is None:
    state = begin(algorithm, jax.random.key(0))
  else:
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    state = jax.vmap(lambda key: begin(algorithm, key))(keys)
  every = config.update_every
  step = make_step(algorithm, env, steps=every, envs=envs, seeds=seeds and len(seeds))
  history = []
  for _ in range(calls):
    state, metrics = step(state)
    history.append((state, jax.device_get(metrics["update"])))
  assert step._cache_size() == 1
  return algorithm, history, step


def policy_of(state):
  return state.learn.policy.learner.params
