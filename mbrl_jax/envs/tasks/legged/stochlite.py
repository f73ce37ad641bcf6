"""Stochlite quadruped of M-DeMoRL: the action modifies a trot.

Observation ``[12]``; angles are roll, pitch, yaw, rotated about z, then y, then x:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     height of the torso                                m
1 2   roll, pitch of the torso                           rad
3-5   angular velocity of the torso, in the world        rad/s
6 7   roll, pitch of the plane through the stance feet   rad
8     position x of the torso; not for models            m
9 10  velocity of the torso along x, y; not for models   m/s
11    power of the motors; not for models                W
===== ================================================== ==========

Action ``[15]`` within 1: shifts of the feet, for front left, front right, back left, back right
along x (0-3), y (4-7) and z (8-11), times 0.1 m, those along y relative to 0.05 m outward;
velocity of the body along x, y (12, 13) and about z (14), times 0.5 m/s, 0.25 m/s and 2 rad/s.
A trot of 2.5 Hz converts them to foot positions (see ``gait``), inverse kinematics these to
angles, which servos of 400 N m/rad, 10 N m s/rad and at most 7 N m track. A control step is
0.01 s, an episode 1000. It terminates beyond a roll of 30 degrees, a pitch of 35 or a height of
0.7 m.

Reward, 0 at termination, with errors d of roll and pitch from the feet's plane, of the height
from 0.25 m above the ground, of the velocities from the desired ones::

  exp(-45 droll^2) + exp(-45 dpitch^2) + 20 exp(-100 |dheight|) + 15 exp(-5 |dv|^2)
    + 10 exp(-dyawrate^2) + 3 exp(-100 rollrate^2) + 3 exp(-100 pitchrate^2) - power / 20

Source: the released environment of Mishra, Samineni et al., "Dynamic Mirror Descent based Model
Predictive Control for Accelerating Robot Learning" (2022). Its reset clears the desired
velocity, so it rewards standing; that is also the default here, see ``velocity``.

Deviations: MuJoCo steps of 1 ms in place of PyBullet's 0.2 ms, legs as capsules with the
inertias of their shapes, rotors of 0.01 kg m^2 at the joints. A leg's plane has an offset of
0.0755 m from its abduction axis, as in the robot's description, also in the inverse kinematics,
which used 0.096 m. A swing is a sine in place of a spline. The stance feet are those of the
gait, not of contacts. The height is that above the ground at x; the original assumes a slope of
9 degrees also where it is flat. Ramps of 1.5 m begin 0.5 m ahead, the robot starts on level
ground; rough ground is invented: twelve blocks up to 0.03 m high. Joint angles at the reset
have noise of up to 0.02 rad. ``encode`` returns the original's observation;
learned models predict changes, but velocity along x and y and power themselves.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics import gait
from mbrl_jax.envs.robotics.leg import foot_position_3d, joint_angles_3d
from mbrl_jax.envs.robotics.terrain import add_blocks, add_ramp, on_ramp, ramp_height
from mbrl_jax.envs.robotics.unseen import absolute_targets
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.ops import quaternion, validate
from mbrl_jax.ops.angle import arctan2
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key

DT = 0.01  # s
TERRAINS = ("flat", "upslope", "downslope", "rough")
FASTEST = np.array([0.5, 0.25, 2.0], np.float32)
"""Velocity along x and y, m/s, and about z, rad/s, commanded by an action of 1."""

_LINKS = (0.146, 0.172)  # m
_ASIDE = np.array(
  [0.0755, -0.0755, 0.0755, -0.0755], np.float32
)  # m, offsets of the legs' planes
_SHIFT = 0.1  # m, of a foot by an action of 1
_OUTWARD = np.array([0.05, -0.05, 0.05, -0.05], np.float32)  # m
_STIFFNESS, _DAMPING, _STRONGEST = 400.0, 10.0, 7.0  # N m/rad, N m s/rad, N m
_HEIGHT = 0.25  # m, desired height of the torso above the ground
_START = 0.256  # m, initial height, at which the feet touch it
_NOISE = 0.02  # rad
_HIPS = np.array(
  [[0.167, 0.096], [0.167, -0.096], [-0.167, 0.096], [-0.167, -0.096]], np.float32
)
_TROT = gait.Trot(2.5, 0.08, 0.25, _HIPS, 0.9 * math.hypot(0.0755, sum(_LINKS)))


class Stride(NamedTuple):
  """Memory of the task.

  Attributes:
    phase: phase of the trot ``[]``, rad.
    feet: desired foot positions relative to the hips ``[4, 3]``, metres.
    targets: commanded servo angles ``[12]``, rad.
    diagonals: vectors from the front left to the back right foot, and from the front right to
      the back left, at their last stance, in world axes ``[2, 3]``, metres.
  """

  phase: Array
  feet: Array
  targets: Array
  diagonals: Array


def make_stochlite(
  physics: str = "auto",
  *,
  terrain: str = "flat",
  slope: float = 9.0,
  velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    terrain: ``"flat"``, ``"upslope"``, ``"downslope"`` or ``"rough"``.
    slope: degrees, of ``"upslope"`` and ``"downslope"``; the original has 5 to 13.
    velocity: desired velocity of the reward along x and y, m/s, and about z, rad/s.

  Raises:
    ValueError: an unknown terrain or physics, a slope or velocity out of range.
  """
  validate.choice("terrain", terrain, TERRAINS)
  validate.between(5.0, 13.0, slope=slope)
  if len(velocity) != 3:
    raise validate.ArgumentError(
      "velocity", velocity, "must be three numbers, vx, vy and yaw rate."
    )
  if not (np.abs(velocity) <= FASTEST).all():
    text = f"must be within {[float(most) for most in FASTEST]} in absolute value."
    raise validate.ArgumentError("velocity", velocity, text)
  incline = {"upslope": 1, "downslope": -1}.get(terrain, 0) * math.radians(slope)
  add_terrain = functools.partial(_add_terrain, incline=incline, rough=terrain == "rough")
  height = functools.partial(desired_height, incline=incline)
  target, decode = absolute_targets(slice(9, 12))  # velocity and power
  return make_task(
    "stochlite",
    load_asset("stochlite", add_terrain),
    physics,
    dt=DT,
    episode_length=1000,
    reward=functools.partial(
      reward, velocity=np.array(velocity, np.float32), desired_height=height
    ),
    terminated=terminated,
    initial=functools.partial(initial, incline=incline),
    observe=observe,
    memory=Memory(start, update),
    command=command,
    action_low=-np.ones(15),
    action_high=np.ones(15),
    encode=published_observation,
    target=target,
    decode=decode,
  )


def desired_height(x: Array, *, incline: float) -> Array:
  """Returns the desired height of the torso at ``x []``, metres."""
  if not incline:
    return jnp.full_like(x, _HEIGHT)
  return ramp_height(x, incline) + _HEIGHT / jnp.where(on_ramp(x), math.cos(incline), 1.0)


def reward(
  obs: Array,
  action: Array,
  next_obs: Array,
  *,
  velocity: np.ndarray,
  desired_height: Callable[[Array], Array],
) -> Array:
  """Rewards a level torso at the desired height and velocity, charges power."""
  height, roll, pitch, rollrate, pitchrate, yawrate, ground_roll, ground_pitch = next_obs[:8]
  x, speed, power = next_obs[8], next_obs[9:11], next_obs[11]
  level = jnp.exp(-45 * (roll - ground_roll) ** 2) + jnp.exp(-45 * (pitch - ground_pitch) ** 2)
  level += 20 * jnp.exp(-100 * jnp.abs(desired_height(x) - height))
  tracking = 15 * jnp.exp(-5 * jnp.sum((speed - velocity[:2]) ** 2))
  tracking += 10 * jnp.exp(-((yawrate - velocity[2]) ** 2))
  steady = 3 * (jnp.exp(-100 * rollrate**2) + jnp.exp(-100 * pitchrate**2))
  total = level + tracking + steady - power / 20
  return jnp.where(terminated(obs, action, next_obs), 0.0 * total, total)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once fallen over, above 0.7 m, or NaN."""
  del obs, action
  height, roll, pitch = next_obs[0], next_obs[1], next_obs[2]
  upright = (jnp.abs(roll) <= math.radians(30)) & (jnp.abs(pitch) <= math.radians(35))
  return ~(upright & (height <= 0.7))


def published_observation(obs: Array) -> Array:
  """Returns the original's observation ``[8]``."""
  return obs[:8]


def initial(key: Key, *, incline: float) -> tuple[Array, Array]:
  """Draws joint angles around the standing pose, with the torso level and at rest."""
  angles = _servo_angles(_standing_feet())
  angles += jax.random.uniform(key, (12,), minval=-_NOISE, maxval=_NOISE)
  ground = ramp_height(jnp.zeros(()), incline) if incline else 0.0
  torso = jnp.array([0, 0, _START, 1, 0, 0, 0]).at[2].add(ground)
  return jnp.concatenate([torso, angles]), jnp.zeros(18)


def start(key: Key, physics: PhysicsState) -> Stride:
  """Returns the start of the trot, on all four feet."""
  del key
  feet, phase = _standing_feet(), jnp.zeros(())
  diagonals = _diagonals(_foot_positions(physics.qpos))
  return Stride(phase, feet, _servo_angles(feet), diagonals)


def update(before: PhysicsState, action: Array, after: PhysicsState) -> Stride:
  """Advances the trot by one control step and updates the diagonals of the stance feet."""
  phase, feet, targets = _plan(before.memory, action)
  positions, in_stance = _foot_positions(after.qpos), gait.on_the_ground(phase)
  diagonals = jnp.where(in_stance[:2, None], _diagonals(positions), before.memory.diagonals)
  return Stride(phase, feet, targets, diagonals)


def command(before: PhysicsState, action: Array) -> Array:
  """Returns the commanded servo angles ``[12]``, rad."""
  return _plan(before.memory, action)[2]


def observe(physics: PhysicsState) -> Array:
  """Returns the original's observation, then the other inputs of its reward."""
  rotation = quaternion.matrix(physics.qpos[3:7])
  speed, spin = physics.qvel[:3], matmul(rotation, physics.qvel[3:6])
  error = physics.memory.targets - physics.qpos[7:]
  torques = _STIFFNESS * error - _DAMPING * physics.qvel[6:]
  torques = jnp.clip(torques, -_STRONGEST, _STRONGEST)
  power = jnp.sum(jnp.abs(torques * physics.qvel[6:]))
  ground = _ground_angles(physics.memory.diagonals, rotation[:, 0])
  published = physics.qpos[2:3], _roll_pitch(rotation), spin, ground
  return jnp.concatenate([*published, physics.qpos[:1], speed[:2], power[None]])


def _plan(stride: Stride, action: Array) -> tuple[Array, Array, Array]:
  """Returns phase, foot positions and servo angles of the next control step."""
  shifts = _SHIFT * action[:12].reshape(3, 4).T
  shifts = shifts.at[:, 1].add(_OUTWARD)
  phase = gait.advance_phase(_TROT, stride.phase, DT)
  velocity = jnp.asarray(FASTEST * action[12:])
  feet = gait.move_feet(_TROT, stride.feet, phase, shifts, velocity, DT)
  return phase, feet, _servo_angles(feet)


def _standing_feet() -> Array:
  """Returns the foot positions of the standing pose relative to the hips ``[4, 3]``."""
  return jnp.stack([jnp.zeros(4), jnp.asarray(_OUTWARD), jnp.full(4, -_TROT.height)], 1)


def _servo_angles(feet: Array) -> Array:
  """Returns the joint angles ``[12]`` for foot positions ``[4, 3]``."""
  solve = jax.vmap(lambda foot, aside: joint_angles_3d(foot, _LINKS, aside))
  return solve(feet, jnp.asarray(_ASIDE)).reshape(-1)


def _foot_positions(qpos: Array) -> Array:
  """Returns the foot positions relative to the torso, in world axes ``[4, 3]``."""
  angles = qpos[7:].reshape(4, 3)
  feet = jax.vmap(lambda q, aside: foot_position_3d(q, _LINKS, aside))(angles, _ASIDE)
  feet = feet.at[:, :2].add(_HIPS)
  return matmul(feet, quaternion.matrix(qpos[3:7]).T)


def _diagonals(feet: Array) -> Array:
  """Returns the vectors between diagonal feet ``[2, 3]``, see ``Stride``."""
  return jnp.stack([feet[3] - feet[0], feet[2] - feet[1]])


def _ground_angles(diagonals: Array, heading: Array) -> Array:
  """Returns roll and pitch ``[2]`` of the plane along both diagonals, facing ``heading``."""
  normal = jnp.cross(diagonals[1], diagonals[0])
  normal /= norm(normal)
  left = jnp.cross(normal, heading)
  left /= norm(left)
  return _roll_pitch(jnp.stack([jnp.cross(left, normal), left, normal], 1))


def _roll_pitch(rotation: Array) -> Array:
  """Returns roll and pitch ``[2]`` of a rotation matrix ``[3, 3]``, rad."""
  level = norm(rotation[:2, 0])
  return jnp.stack([arctan2(rotation[2, 1], rotation[2, 2]), arctan2(-rotation[2, 0], level)])


def _add_terrain(spec: mujoco.MjSpec, incline: float, rough: bool) -> None:
  """Adds a ramp or blocks."""
  if incline:
    add_ramp(spec, incline)
  if rough:
    add_blocks(spec)
