"""D'Kitty orient of ROBEL: a quadruped turns in place to face a target.

Observation ``[49]``:

===== =============================================================== =====
index quantity                                                        unit
===== =============================================================== =====
0-2   torso along x, y, and z over 0.3                                m
3-5   roll, pitch, yaw: intrinsic rotations about x, y, z             rad
6-17  hip, knee, ankle of the front right, front left, back left and
      back right leg: joint angles                                    rad
18-20 velocity of the torso along x, y, z                             m/s
21-23 rates of roll, pitch, yaw                                       rad/s
24-35 joint velocities, in the order of the angles                    rad/s
36-47 last action                                                     1
48    angle of the target, 0 along y, left positive                   rad
===== =============================================================== =====

Policies and learned models get ``encode(obs)``, ROBEL's observation ``[53]``: the same up to
the last action, with positions before velocities, then the uprightness ``up`` of the torso (the
z component of its z axis), the x and y components of its y axis, and the direction from it to
the target, which is 1 m from the origin.

Action ``[12]`` within 1: targets of the joints' servos in the order of the angles, with a speed
limit of pi rad/s. Hips swing 0.5 rad out and 0.279 rad in, knees bend from 0 to pi/2, ankles
from -2 to 0 (their servos stop at -1.57). A control step is 0.1 s, an episode 80 of them; it
terminates when ``up`` is less than 0.9. Reward, after the step, with ``up``, the angle ``e``
between the heading and the target's direction and the distance ``d`` of the torso from the
origin::

  20 (up - 0.9) - 500 (up < 0.9) - 4 e - 4 d
    + 5 (e < 0.26 or up > 0.96) + 10 (e < 0.087 and up > 0.96)

Success: the last bonus in the last step.

An episode starts on stretched legs, at rest. ``variant="fixed"``: heading 0, the target at pi;
``"random"``: heading within pi/3, the target within pi/3 of pi. ``"random_dynamics"`` also
randomises the models, see ``random_dynamics``: all joints' damping 0.1 to 0.2 Nm s/rad and
friction loss, the servos' gain 2.8 to 3.2 Nm/rad, contact friction 0.8 to 1.2, the mass 1.6 to
2 kg, and bumps of the ground up to 5 cm high, in a grid of 7.5 cm. The observed joint angles
and velocities are noisy.

Source: Ahn et al., "ROBEL: Robotics Benchmarks for Learning with Low-Cost Robots" (2019),
and its code, whose small bonus is one of two, not a sum. Game-MBRL uses the task.

Deviations: the torso turns and moves without limits; in ROBEL it stops at 3.14 rad, just on
the way to the target. The feet collide as in ROBEL, knees, ankles and the corners of the torso
as balls, without self-collision. Friction is isotropic (elliptic cones), because MuJoCo and MJX
orient pyramids differently. The bulkheads are one box of their mass. On bumps the robot starts
higher by the largest bump, so that it does not penetrate them. ROBEL observes the action before
it is clipped.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import mocap_pose, yaw_quaternion
from mbrl_jax.envs.robotics.servo import servo_command
from mbrl_jax.envs.robotics.terrain import BUMP, add_bumps
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.envs.tasks.robel.random_dynamics import Ranges, with_random_dynamics
from mbrl_jax.ops import validate
from mbrl_jax.ops.angle import arctan2
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key, Success

DT = 0.1  # s
UPRIGHT = 0.9
SPEED = np.pi  # rad/s
VARIANTS = ("fixed", "random", "random_dynamics")

_RIGHT, _LEFT, _BENT = (-0.5, 0.279), (-0.279, 0.5), ((0.0, np.pi / 2), (-2.0, 0.0))
RANGES = np.array([_RIGHT, *_BENT, _LEFT, *_BENT, _LEFT, *_BENT, _RIGHT, *_BENT], np.float32)
"""Targets of the actions -1 and 1, ``[12, 2]``, rad."""


_RANDOM = Ranges(damping=(0.1, 0.2), gain=(2.8, 3.2), alike=True, mass=(1.6, 2.0))
_SPAN = np.concatenate(
  [np.zeros(6), RANGES[:, 1] - RANGES[:, 0], np.zeros(6), np.full(12, 2 * SPEED), np.zeros(13)]
)  # ranges of the noisy observations


class Goal(NamedTuple):
  """Memory of an episode.

  Attributes:
    last_action: ``[12]``, within the bounds.
    target: angle of the target ``[]``, rad.
  """

  last_action: Array
  target: Array


def make_dkitty_orient(
  physics: str = "auto", *, variant: str = "fixed", models: int = 16
) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    variant: ``"fixed"``, ``"random"`` or ``"random_dynamics"``, see above.
    models: how many there are to draw from with random dynamics.

  Raises:
    ValueError: another variant or physics, or no models.
  """
  validate.choice("variant", variant, VARIANTS)
  spread = 0.0 if variant == "fixed" else np.pi / 3
  uneven = variant == "random_dynamics"
  height = BUMP if uneven else 0.0

  def initial(key: Key) -> tuple[Array, Array]:
    yaw = jax.random.uniform(key, (), minval=-spread, maxval=spread)
    return jnp.zeros(18).at[2].set(height).at[5].set(yaw), jnp.zeros(18)

  def begin(key: Key, state: PhysicsState) -> Goal:
    del state
    turn = jax.random.uniform(key, (), minval=-spread, maxval=spread)
    return Goal(jnp.zeros(12), np.pi + turn)

  task = make_task(
    "dkitty_orient",
    load_asset("dkitty", add_bumps if uneven else None),
    physics,
    dt=DT,
    episode_length=80,
    reward=reward,
    terminated=terminated,
    success=Success(success, last=1),
    initial=initial,
    observe=observe,
    action_low=np.full(12, -1),
    action_high=np.full(12, 1),
    memory=Memory(begin, remember),
    command=servo_command(*RANGES.T, speed=SPEED, dt=DT, first=6),
    marks=lambda physics: mocap_pose(jnp.zeros(3), yaw_quaternion(physics.memory.target)),
    encode=robel_observation,
  )
  if not uneven:
    return task
  return with_random_dynamics(task, _RANDOM, slice(6, 18), _SPAN, models)


def upright(obs: Array) -> Array:
  """Returns the z component of the torso's z axis ``[]``."""
  return jnp.cos(obs[3]) * jnp.cos(obs[4])


def facing(obs: Array) -> Array:
  """Returns the x and y components of the torso's y axis ``[2]``."""
  (sin_roll, sin_pitch, sin_yaw), (cos_roll, cos_pitch, cos_yaw) = (
    jnp.sin(obs[3:6]),
    jnp.cos(obs[3:6]),
  )
  return jnp.stack([-cos_pitch * sin_yaw, cos_roll * cos_yaw - sin_roll * sin_pitch * sin_yaw])


def direction(obs: Array) -> Array:
  """Returns the unit vector ``[2]`` from the torso to the target."""
  way = jnp.stack([-jnp.sin(obs[48]), jnp.cos(obs[48])]) - obs[:2]
  return way / jnp.maximum(norm(way), 1e-8)


def error(obs: Array) -> Array:
  """Returns the angle between the torso's heading and the target, 0 to pi rad."""
  (x, y), (to_x, to_y) = facing(obs), direction(obs)
  return jnp.abs(arctan2(x * to_y - y * to_x, x * to_x + y * to_y))


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards facing the target and standing upright, charges the distance from the origin."""
  del obs, action
  up, angle = upright(next_obs), error(next_obs)
  steady = up > 0.96
  bonus = jnp.where((angle < 0.26) | steady, 5.0, 0.0) + jnp.where(success(next_obs), 10.0, 0.0)
  standing = 2 * (up - UPRIGHT) / (1 - UPRIGHT) - jnp.where(up < UPRIGHT, 500.0, 0.0)
  return standing - 4 * angle - 4 * norm(next_obs[:2]) + bonus


def success(obs: Array) -> Array:
  """Returns whether it stands upright and faces the target."""
  return (error(obs) < 0.087) & (upright(obs) > 0.96)


def points(obs: Array) -> Array:
  """Returns ROBEL's score of a state, from 0 facing away from the target to 1."""
  return 1 - error(obs) / jnp.pi


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once tilted too far or NaN."""
  del obs, action
  return ~(upright(next_obs) >= UPRIGHT)


def robel_observation(obs: Array) -> Array:
  """Returns ROBEL's observation ``[53]``."""
  return jnp.concatenate([obs[:48], upright(obs)[None], facing(obs), direction(obs)])


def remember(before: PhysicsState, action: Array, after: PhysicsState) -> Goal:
  """Stores the action."""
  del before
  return after.memory._replace(last_action=action)


def observe(physics: PhysicsState) -> Array:
  """Returns positions, velocities, last action and target."""
  goal = physics.memory
  return jnp.concatenate([physics.qpos, physics.qvel, goal.last_action, goal.target[None]])
