"""Sets the spinning pen: a hand of 24 joints spins a long pen and keeps it level.

Observation ``[61]``:

===== ================================================= =========
index quantity                                          unit
===== ================================================= =========
0-23  joint angles of the hand, see ``hand24``          rad
24-47 joint velocities                                  rad/s
48-50 velocity of the pen                               m/s
51-53 angular velocity of the pen, in its own frame     rad/s
54-56 position of the pen                               m
57-60 orientation of the pen, quaternion w x y z        1
===== ================================================= =========

Action ``[20]`` within 1, spread over the ranges of the servos: those of ``hand24`` without
the four J0, which a tendon keeps within 0.124 rad of their J1. A control step is 0.04 s, an
episode 250 of them, which nothing ends early. Reward: the angular velocity about the pen's own
x axis, at right angles to it, times ``alpha`` and ``direction``, less 15 times the difference
in height of its tips, 0.2 m apart.

An episode begins after 0.4 s in which the pen, dropped from a little above the fingers, came
to lie in the hand under actions of 0.

Source: dexterous-gym's PenSpin (Charlesworth), on Gym's HandPen; used by M-DeMoRL.

Deviations: see ``hand24``. The world is turned and moved so that the hand lies as in the
other tasks and the pen begins above the origin; heights are the same. Starts are drawn from 32
that were simulated when the task was built, not simulated anew. As released, a start that
falls off the hand is drawn again.
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
SCATTER = 0.005  # m, standard deviation of where the pen is let go
FALLEN = 0.04  # m, the height below which a start is drawn again


def make_pen_spin(physics: str = "auto", *, direction: int = 1, alpha: float = 1.0) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    direction: 1 or -1, which way it shall spin.
    alpha: what a rad/s of spin is worth.

  Raises:
    ValueError: another direction or physics.
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
    reward=functools.partial(reward, worth=direction * alpha),
    initial=initial,
    observe=observe,
    action_low=-np.ones(model.nu),
    action_high=np.ones(model.nu),
    command=over_range(model),
  )


def reward(obs: Array, action: Array, next_obs: Array, worth: float = 1.0) -> Array:
  """Rewards spin and charges a slope."""
  del obs, action
  slope = LENGTH * jnp.abs(z_axis(next_obs[57:])[2])
  return worth * next_obs[51] - 15.0 * slope


def observe(physics: PhysicsState) -> Array:
  """Returns hand and pen, positions and velocities."""
  qpos, qvel = physics.qpos, physics.qvel
  return jnp.concatenate([qpos[:JOINTS], qvel, qpos[JOINTS:]])


def starts(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
  """Simulates the starts: positions ``[STARTS, nq]``, velocities ``[STARTS, nv]``."""
  rng, found = np.random.default_rng(0), []
  data = mujoco.MjData(model)
  while len(found) < STARTS:
    mujoco.mj_resetData(model, data)
    data.ctrl[:] = model.actuator_ctrlrange.mean(1)
    data.qpos[JOINTS : JOINTS + 3] += SCATTER * rng.normal(size=3)
    mujoco.mj_step(model, data, nstep=round(SETTLING * DT / model.opt.timestep))
    if data.qpos[JOINTS + 2] > FALLEN:
      found.append(np.float32(np.concatenate([data.qpos, data.qvel])))
  return tuple(np.split(np.stack(found), [model.nq], axis=1))
