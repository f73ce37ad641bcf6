"""Baoding balls: a 24-joint hand rotates two balls around each other.

Observation ``[40]``:

===== ============================================ ====
index quantity                                     unit
===== ============================================ ====
0-23  joint angles, see ``robotics.hand``          rad
24-26 position of ball 1                           m
27-29 velocity of ball 1                           m/s
30-32 position of ball 2                           m
33-35 velocity of ball 2                           m/s
36-37 goal of ball 1, x and y                      m
38-39 goal of ball 2, x and y                      m
===== ============================================ ====

Action ``[24]`` within 1: servo targets from the initial pose to 0.9 of the way to the ends of
their ranges, moved by at most 3 rad/s. A control step is 0.1 s, an episode 100 of them.

The goals move opposite each other around an ellipse fixed to the palm, with radii of 0.02 m
across and 0.036 m along it, once in 60 steps. It is 0.07 m above the palm, so its x and y in
the world change as the wrist bends.

Reward, with the distances of the balls from their goals in x and y::

  -5 (d1 + d2) - 500 (dropped) - 10 (wrist bent up by more than 0.15 rad)

A ball below z = 0.06 is dropped, which terminates.

Source: PDDM's baoding_env (Nagabandi et al. 2019), turning counter-clockwise. The release
observes wrong velocities (two joints of the thumb and one number for ball 1, a spin and two
numbers for ball 2) and charges 10 more for a drop, as for the wrist: ``as_released=True``.

Deviations: see ``robotics.hand``. Joints whose initial angle is slightly out of range in the
original start at the limit. Goals move after every step; the original's not in the first.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.hand import JOINTS, around_rest
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array

DT = 0.1  # s
SPEED = 3.0  # rad/s, speed limit of the servo targets
PERIOD = 60
"""Control steps of a revolution of the goals."""

CENTRE = (0.005, 0.055)  # m, of the ellipse, across and along the palm
RADII = (0.02, 0.036)  # m
HEIGHT = 0.07  # m, of the ellipse above the palm
PHASES = (3 * np.pi / 4, -np.pi / 4)  # rad, initial phases of the goals
FLOOR = 0.06  # m, a ball below it is dropped
SENSORS = ("palm", "palm_x", "palm_y", "palm_z")


def make_baoding(physics: str = "auto", *, as_released: bool = False) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    as_released: reproduce the errors of PDDM's release, see above.
  """
  model = load_asset("baoding")
  home = np.float32(model.key_qpos[0])
  return make_task(
    "baoding",
    model,
    physics,
    dt=DT,
    episode_length=100,
    reward=functools.partial(reward, as_released=as_released),
    terminated=terminated,
    initial=lambda key: (jnp.asarray(home), jnp.zeros(model.nv)),
    observe=functools.partial(observe, as_released=as_released),
    action_low=-np.ones(JOINTS),
    action_high=np.ones(JOINTS),
    sensors=SENSORS,
    command=around_rest(model, share=0.9, reach=SPEED * DT),
    memory=Memory(
      lambda key, physics: jnp.zeros(()), lambda before, action, after: before.memory + 1
    ),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array, as_released: bool = False) -> Array:
  """Charges the balls' distances from their goals, a drop and a raised wrist."""
  distance = norm(next_obs[24:26] - next_obs[36:38]) + norm(next_obs[30:32] - next_obs[38:])
  dropped = terminated(obs, action, next_obs)
  raised = next_obs[1] > 0.15
  if as_released:
    raised = raised | dropped
  return -5.0 * distance - 500.0 * dropped - 10.0 * raised


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once a ball is dropped or NaN."""
  del obs, action
  return ~((next_obs[26] >= FLOOR) & (next_obs[32] >= FLOOR))


def observe(physics: PhysicsState, as_released: bool = False) -> Array:
  """Returns the hand, both balls and their goals."""
  qpos, qvel = physics.qpos, physics.qvel
  speeds = (qvel[24:27], qvel[30:33]) if not as_released else (qvel[22:25], qvel[29:32])
  goal1, goal2 = goals(physics)[:, :2]
  return jnp.concatenate(
    [qpos[:JOINTS], qpos[24:27], speeds[0], qpos[31:34], speeds[1], goal1, goal2]
  )


def goals(physics: PhysicsState) -> Array:
  """Returns the positions of the goals in the world ``[2, 3]``, metres."""
  palm, across, along, up = physics.sensors.reshape(4, 3)
  angles = 2 * jnp.pi * physics.memory / PERIOD + jnp.array(PHASES)
  x = CENTRE[0] + RADII[0] * jnp.cos(angles)
  y = CENTRE[1] + RADII[1] * jnp.sin(angles)
  return palm + x[:, None] * across + y[:, None] * along + HEIGHT * up


def marks(physics: PhysicsState) -> Array:
  """Returns the poses of the goals' markers."""
  upright = jnp.tile(jnp.array([1.0, 0, 0, 0]), 2)
  return jnp.concatenate([goals(physics).ravel(), upright])
