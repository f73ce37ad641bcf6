"""Builds PETS' model, dynamics and planner of mbrl_jax for the benchmark."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

import mbrl_jax
from experiments.benchmark.peers import sizes as jobs
from experiments.benchmark.peers.sizes import Sizes
from mbrl_jax.types import Array, EnvSpec, Planner


def make_spec(sizes: Sizes) -> EnvSpec:
  """Returns the task's specification for the planner; the task is not simulated."""
  if sizes.setting == "cartpole":
    return mbrl_jax.make_env("cartpole", physics="mujoco").spec
  high = np.full(sizes.action_dim, sizes.action_high, np.float32)
  return EnvSpec(
    name=sizes.setting,
    obs_dim=sizes.obs_dim,
    action_low=-high,
    action_high=high,
    dt=0.05,
    episode_length=1000,
    reward=_speed,
    terminated=lambda obs, action, next_obs: jnp.zeros((), bool),
    encode=_encode,
  )


def _speed(obs: Array, action: Array, next_obs: Array) -> Array:
  """Returns the first coordinate, the speed, minus an action cost."""
  del obs
  return next_obs[0] - 0.1 * jnp.sum(jnp.square(action))


def _encode(obs: Array) -> Array:
  """Drops the first coordinate and encodes the third, an angle, as sine and cosine."""
  return jnp.concatenate([obs[1:2], jnp.sin(obs[2:3]), jnp.cos(obs[2:3]), obs[3:]])


def make_model(sizes: Sizes, precision: str = "float32", **options: Any) -> Any:
  """Returns a probabilistic ensemble."""
  return mbrl_jax.make_ensemble(
    "PE", sizes.members, sizes.hidden, precision=precision, **options
  )


def make_planner(
  model: Any, spec: EnvSpec, sizes: Sizes, sharding: NamedSharding | None = None
) -> Planner:
  """Returns a CEM planner over the ensemble with TSinf propagation."""
  dynamics = mbrl_jax.as_dynamics(
    model,
    reward=spec.reward,
    terminated=spec.terminated,
    encode=spec.encode,
    decode=spec.decode,
    propagation="TSinf",
    outputs=spec.obs_dim,
  )
  return mbrl_jax.make_planner(
    # epsilon=0 runs all iterations, as the peer does.
    mbrl_jax.cem(sizes.plans, sizes.elites, epsilon=0.0),
    mbrl_jax.make_evaluate(dynamics, particles=sizes.particles, sharding=sharding),
    horizon=sizes.horizon,
    action_low=spec.action_low,
    action_high=spec.action_high,
    iterations=sizes.iterations,
  )


def training_set(spec: EnvSpec, sizes: Sizes) -> tuple[Array, Array]:
  """Returns the training set: model inputs ``[B, I]`` and targets ``[B, O]``."""
  obs, action, next_obs = jobs.transitions(sizes)
  inputs = jnp.concatenate([jax.vmap(spec.encode)(obs), action], axis=1)
  return inputs, jax.vmap(spec.target)(obs, next_obs)
