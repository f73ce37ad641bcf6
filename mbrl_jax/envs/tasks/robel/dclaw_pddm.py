"""D'Claw of PDDM: the three fingers of ROBEL turn the valve to an angle.

Observation ``[21]``:

===== ============================================================= =====
index quantity                                                      unit
===== ============================================================= =====
0-8   top, middle, bottom joint of first finger, second finger and
      thumb: joint angles                                           rad
9-17  joint velocities, in the order of the angles                  rad/s
18    angle of the valve                                            rad
19    angular velocity of the valve                                 rad/s
20    target angle                                                  rad
===== ============================================================= =====

Action ``[9]`` within 1: targets of the joints' servos in the order of the angles, within 0.48
rad for top joints and 1.57 rad for the others, with a speed limit of 5 rad/s. A control step
is 0.1 s, an episode 40 of them; it never terminates. Reward, after the step, with the error
``e`` of the valve within half a turn: ``-10 |e| + (|e| < 0.25) + 10 (|e| < 0.1)``. Fingers
start at (0, -1, 1.35), at rest, the valve within pi/4 of 0, the target between pi/2 and pi in
either direction. Success: ``|e| < 0.1`` in the last step.

Source: Nagabandi et al., "Deep Dynamics Models for Learning Dexterous Manipulation" (2019),
and its code.

Deviations: the code stores both bonuses in one array, so the larger replaces the smaller
and each is paid twice: 2 below 0.25 and 20 below 0.1. Here they are added;
``as_released=True`` reproduces the code. See ``dclaw`` for the collision geometry.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import constant_memory, mocap_pose, yaw_quaternion
from mbrl_jax.envs.robotics.servo import servo_command
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.envs.tasks.robel.dclaw import HEIGHT
from mbrl_jax.ops.angle import wrap
from mbrl_jax.types import Array, Key, Success

DT = 0.1  # s
POSE = np.array([0, -1.0, 1.35] * 3, np.float32)
"""Initial joint angles, rad."""

REACH = np.array([0.48, 1.57, 1.57] * 3, np.float32)  # rad, targets of the action 1
SPEED = 5.0  # rad/s


def make_dclaw_turn_pddm(physics: str = "auto", *, as_released: bool = False) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    as_released: pay the bonuses of the published code, see above.
  """
  return make_task(
    "dclaw_turn_pddm",
    load_asset("dclaw"),
    physics,
    dt=DT,
    episode_length=40,
    reward=functools.partial(reward, as_released=as_released),
    success=Success(at_target, last=1),
    initial=initial,
    observe=observe,
    action_low=np.full(9, -1),
    action_high=np.full(9, 1),
    memory=constant_memory(draw_target),
    command=servo_command(-REACH, REACH, speed=SPEED, dt=DT),
    marks=lambda physics: mocap_pose(jnp.array([0, 0, HEIGHT]), yaw_quaternion(physics.memory)),
  )


def reward(obs: Array, action: Array, next_obs: Array, as_released: bool = False) -> Array:
  """Rewards a valve at the target after the step."""
  del obs, action
  distance = jnp.abs(wrap(next_obs[20] - next_obs[18]))
  near, there = distance < 0.25, distance < 0.1
  if as_released:
    bonus = jnp.where(there, 20.0, jnp.where(near, 2.0, 0.0))
  else:
    bonus = jnp.where(near, 1.0, 0.0) + jnp.where(there, 10.0, 0.0)
  return bonus - 10 * distance


def at_target(obs: Array) -> Array:
  """Returns whether the error of the valve is below 0.1 rad."""
  return jnp.abs(wrap(obs[20] - obs[18])) < 0.1


def initial(key: Key) -> tuple[Array, Array]:
  """Draws the angle of the valve, with everything at rest."""
  valve = jax.random.uniform(key, (), minval=-np.pi / 4, maxval=np.pi / 4)
  return jnp.append(POSE, valve), jnp.zeros(10)


def draw_target(key: Key) -> Array:
  """Draws the target angle ``[]``, rad."""
  angle_key, side_key = jax.random.split(key)
  angle = jax.random.uniform(angle_key, (), minval=np.pi / 2, maxval=np.pi)
  return jnp.where(jax.random.bernoulli(side_key), angle, -angle)


def observe(physics: PhysicsState) -> Array:
  """Returns joints, valve and target."""
  qpos, qvel = physics.qpos, physics.qvel
  return jnp.concatenate([qpos[:9], qvel[:9], qpos[9:], qvel[9:], physics.memory[None]])
