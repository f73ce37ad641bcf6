"""Drives all motors of a task by sine waves, to compare with recorded motion."""

import jax
import jax.numpy as jnp
import numpy as np


def swing(env, qpos, steps=100, size=1.0):
  """Runs an episode from rest at ``qpos``; returns its final positions and velocities.

  At step t, counted from 1, motor i gets ``size * high * sin(t i / 7)``, i counted from 1.
  """
  high = np.asarray(env.spec.action_high)
  phases = np.arange(1, steps + 1)[:, None] * np.arange(1, len(high) + 1) / 7

  def step(physics, action):
    return env.physics.step(physics, action), None

  def run(actions):
    start = env.physics.init(jnp.float32(qpos), jnp.zeros(env.model.nv))
    return jax.lax.scan(step, start, actions)[0]

  end = jax.jit(run)(jnp.float32(size * high * np.sin(phases)))
  return np.concatenate([end.qpos, end.qvel])
