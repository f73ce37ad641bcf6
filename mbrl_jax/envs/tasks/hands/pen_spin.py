"""Pen spin: a 24-joint hand spins a long pen and keeps it level.

Observation ``[61]``:

===== ================================================= =========
index quantity                                          unit
===== ================================================= =========
0-23  joint angles, see ``robotics.hand``               rad
24-47 joint velocities                                  rad/s
48-50 velocity of the pen                               m/s
51-53 angular velocity of the pen, in its own frame     rad/s
54-56 position of the pen                               m
57-60 orientation of the pen, quaternion w x y z        1
===== ================================================= =========

Action ``[20]`` within 1, scaled to the ranges of the servos: those of ``robotics.hand``
without the four J0, which a tendon keeps within 0.124 rad of their J1. A control step is
0.04 s, an episode 250 of them; it never terminates. Reward: the angular velocity about the
pen's own x axis, perpendicular to the pen, times ``alpha`` and ``direction``, minus 15 times
the height difference of its tips, 0.2 m apart.

An episode starts 0.4 s after the pen was dropped from slightly above the fingers, with actions
of 0 while it settles.

Source: dexterous-gym's PenSpin (Charlesworth), on Gym's HandPen; used by M-DeMoRL.

Deviations: see ``robotics.hand``. The world is rotated and translated so that the hand lies as
in the other tasks and the pen starts above the origin; heights are the same. Initial states are
drawn from 32 that are simulated when the task is built, not simulated at each reset. As in the
release, an initial state in which the pen falls off the hand is drawn again.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.hand import JOINTS, over_range
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.ops.quaternion import z_axis
from mbrl_jax.types import Array, Key

DT = 0.04  # s
LENGTH = 0.2
"""Distance between the tips of the pen, metres."""

STARTS = 32
SETTLING = 10  # control steps before an episode
SCATTER = 0.005  # m, standard deviation of the position from which the pen is dropped
FALLEN = 0.04  # m, height below which an initial state is drawn again


def make_pen_spin(physics: str = "auto", *, direction: int = 1, alpha: float = 1.0) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    direction: 1 or -1, the desired direction of the spin.
    alpha: reward of a spin of 1 rad/s.

  Raises:
    ValueError: an unknown direction or physics.
  """
  validate.choice("direction", direction, (1, -1))
  model = load_asset("pen_spin")
  qpos, qvel = starts(model)

  def initial(key: Key) -> tuple[Array, Array]:
    i = jax.random.randint(key, (), 0, STARTS)
    return jnp.asarray(qpos)[i], jnp.asarray(qvel)[i]

  return make_task(
    "pen_spin",
    model,
    physics,
    dt=DT,
    episode_length=250,
    reward=functools.partial(reward, weight=direction * alpha),
    initial=initial,
    observe=observe,
    action_low=-np.ones(model.nu),
    action_high=np.ones(model.nu),
    command=over_range(model),
  )


def reward(obs: Array, action: Array, next_obs: Array, weight: float = 1.0) -> Array:
  """Rewards spin and charges the height difference of the tips."""
  del obs, action
  slope = LENGTH * jnp.abs(z_axis(next_obs[57:])[2])
  return weight * next_obs[51] - 15.0 * slope


def observe(physics: PhysicsState) -> Array:
  """Returns hand and pen, positions and velocities."""
  qpos, qvel = physics.qpos, physics.qvel
  return jnp.concatenate([qpos[:JOINTS], qvel, qpos[JOINTS:]])


def starts(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
  """Simulates initial positions ``[STARTS, nq]`` and velocities ``[STARTS, nv]``."""
  rng, data = np.random.default_rng(0), mujoco.MjData(model)
  found: list[np.ndarray] = []
  while len(found) < STARTS:
    mujoco.mj_resetData(model, data)
    data.ctrl[:] = model.actuator_ctrlrange.mean(1)
    data.qpos[JOINTS : JOINTS + 3] += SCATTER * rng.normal(size=3)
    mujoco.mj_step(model, data, nstep=round(SETTLING * DT / model.opt.timestep))
    if data.qpos[JOINTS + 2] > FALLEN:
      found.append(np.concatenate([data.qpos, data.qvel]).astype(np.float32))
  qpos, qvel = np.split(np.stack(found), [model.nq], axis=1)
  return qpos, qvel
