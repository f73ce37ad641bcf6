"""D'Claw of ROBEL: three fingers turn a valve.

``dclaw_turn`` turns the valve to a target angle, ``dclaw_screw`` follows a rotating target.
Observation ``[29]``:

===== ============================================================= =====
index quantity                                                      unit
===== ============================================================= =====
0-8   top, middle, bottom joint of first finger, second finger and
      thumb: joint angles                                           rad
9-17  joint velocities, in the order of the angles                  rad/s
18    angle of the valve                                            rad
19-27 last action                                                   1
28    target angle                                                  rad
===== ============================================================= =====

Policies and learned models get ``encode(obs)``, ROBEL's observation ``[21]``: joint angles,
cosine and sine of the valve's angle, last action, error of the valve within half a turn. It
omits the velocities, which the reward charges. Learned models predict changes, but the
velocities themselves.

Action ``[9]`` within 1: targets of the joints' servos in the order of the angles, within 0.48,
pi/3 and pi/2 rad for top, middle and bottom joints, with a speed limit of 2 pi/3 rad/s.
A control step is 0.1 s; an episode of turn takes 40 of them, of screw 80; it never
terminates. Reward, all after the step, with error ``e``, joint angles ``q``, velocities ``v``:
``-5 |e| - |q - q0| - |v where it is 0.5 rad/s or more| + 10 (|e| < 0.25) + 50 (|e| < 0.1)``;
``q0`` is (0, -pi/3, pi/3) for each finger, the initial pose, at rest.
Success: ``|e| < 0.1`` in the last step of turn, 0.2 in that of screw.

======= ================ ========================== ==========================
variant quantity         turn                       screw
======= ================ ========================== ==========================
fixed   initial valve    0                          0
fixed   target           pi                         0, turning at 0.5 rad/s
random  initial valve    within pi/3                within pi
random  target           within pi/3 of pi          initial, within 0.75 rad/s
======= ================ ========================== ==========================

``variant="random_dynamics"`` also randomises the models, see ``random_dynamics``: each joint's
damping 0.005 to 0.1 Nm s/rad and friction loss, the servos' gain 1 to 3 Nm/rad, contact
friction 0.8 to 1.2, and the position of the hand, within 1 cm along each axis. The observed
angles and velocities are noisy, that of the valve by up to 0.157 rad.

Source: Ahn et al., "ROBEL: Robotics Benchmarks for Learning with Low-Cost Robots" (2019),
and its code; Game-MBRL uses the turn task.

Deviations: tips and middle links of the fingers collide as capsules, all boxes in ROBEL, and
the valve's hub and motor, which are out of reach, do not collide. The target of ``dclaw_turn``
is within one turn from 0 up where ROBEL wraps it; the error is the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import mocap_pose, yaw_quaternion
from mbrl_jax.envs.robotics.servo import servo_command
from mbrl_jax.envs.robotics.unseen import absolute_targets
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.envs.tasks.robel.random_dynamics import Ranges, with_random_dynamics
from mbrl_jax.ops import validate
from mbrl_jax.ops.angle import wrap
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key, Success

DT = 0.1  # s
POSE = np.array([0, -np.pi / 3, np.pi / 3] * 3, np.float32)
"""Initial and desired joint angles, rad."""

REACH = np.array([0.48, np.pi / 3, np.pi / 2] * 3, np.float32)  # rad, targets of the action 1
SPEED = 2 * np.pi / 3  # rad/s
HEIGHT = 0.102  # m, of the goal's marker
VARIANTS = ("fixed", "random", "random_dynamics")

_RANDOM = Ranges(damping=(0.005, 0.1), gain=(1.0, 3.0), offset=0.01)
_SPAN = np.concatenate(
  [2 * REACH, np.full(9, 2 * SPEED), [2 * np.pi], np.zeros(10)]
)  # ranges of the noisy observations


class Goal(NamedTuple):
  """Memory of an episode.

  Attributes:
    last_action: ``[9]``, within the bounds.
    target: target angle of the valve ``[]``, rad.
    speed: angular velocity of the target ``[]``, rad/s.
  """

  last_action: Array
  target: Array
  speed: Array


def make_dclaw_turn(physics: str = "auto", *, variant: str = "fixed", models: int = 16) -> Task:
  """Builds the task of a target angle.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    variant: ``"fixed"``, ``"random"`` or ``"random_dynamics"``, see above.
    models: how many there are to draw from with random dynamics.

  Raises:
    ValueError: another variant or physics, or no models.
  """
  validate.choice("variant", variant, VARIANTS)
  start, spread = (0.0, 0.0) if variant == "fixed" else (np.pi / 3, np.pi / 3)

  def draw(key: Key, valve: Array) -> tuple[Array, Array]:
    del valve
    return np.pi + _within(key, spread), jnp.zeros(())

  return _vary(_make("dclaw_turn", physics, 40, 0.1, start, draw), variant, models)


def make_dclaw_screw(
  physics: str = "auto", *, variant: str = "fixed", models: int = 16
) -> Task:
  """Builds the task of a target that turns.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    variant: ``"fixed"``, ``"random"`` or ``"random_dynamics"``, see above.
    models: how many there are to draw from with random dynamics.

  Raises:
    ValueError: another variant or physics, or no models.
  """
  validate.choice("variant", variant, VARIANTS)
  start = 0.0 if variant == "fixed" else np.pi

  def draw(key: Key, valve: Array) -> tuple[Array, Array]:
    return valve, jnp.float32(0.5) if variant == "fixed" else _within(key, 0.75)

  return _vary(_make("dclaw_screw", physics, 80, 0.2, start, draw), variant, models)


def _make(
  name: str,
  physics: str,
  episode_length: int,
  within: float,
  spread: float,
  draw: Callable[[Key, Array], tuple[Array, Array]],
) -> Task:
  """Builds one of the tasks.

  Args:
    name, physics, episode_length: see ``make_task``.
    within: rad, error of a success.
    spread: rad, largest initial angle of the valve.
    draw: ``(key, angle of the valve) -> (target, its angular velocity)``.
  """

  def initial(key: Key) -> tuple[Array, Array]:
    return jnp.append(POSE, _within(key, spread)), jnp.zeros(10)

  def begin(key: Key, state: PhysicsState) -> Goal:
    return Goal(jnp.zeros(9), *draw(key, state.qpos[9]))

  target, decode = absolute_targets(slice(9, 18))  # velocities
  return make_task(
    name,
    load_asset("dclaw"),
    physics,
    dt=DT,
    episode_length=episode_length,
    reward=reward,
    success=Success(functools.partial(success, within=within), last=1),
    initial=initial,
    observe=observe,
    action_low=np.full(9, -1),
    action_high=np.full(9, 1),
    memory=Memory(begin, follow),
    command=servo_command(-REACH, REACH, speed=SPEED, dt=DT),
    marks=marks,
    encode=robel_observation,
    target=target,
    decode=decode,
  )


def _vary(task: Task, variant: str, models: int) -> Task:
  """Randomises the dynamics if the variant does."""
  if variant != "random_dynamics":
    return task
  return with_random_dynamics(task, _RANDOM, slice(0, 10), _SPAN, models)


def error(obs: Array) -> Array:
  """Returns the target minus the valve's angle, within half a turn, rad."""
  return wrap(obs[28] - obs[18])


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards a valve at the target, charges deviations from the pose and fast joints."""
  del obs, action
  distance, velocities = jnp.abs(error(next_obs)), next_obs[9:18]
  fast = jnp.where(jnp.abs(velocities) >= 0.5, velocities, 0.0)
  bonus = jnp.where(distance < 0.25, 10.0, 0.0) + jnp.where(distance < 0.1, 50.0, 0.0)
  return bonus - 5 * distance - norm(next_obs[:9] - POSE) - norm(fast)


def success(obs: Array, within: float = 0.1) -> Array:
  """Returns whether the error is below ``within`` rad; ROBEL's screw uses 0.2."""
  return jnp.abs(error(obs)) < within


def points(obs: Array) -> Array:
  """Returns ROBEL's score of a state, from 0 with the valve half a turn off to 1."""
  return 1 - jnp.abs(error(obs)) / jnp.pi


def robel_observation(obs: Array) -> Array:
  """Returns ROBEL's observation ``[21]``."""
  valve = jnp.stack([jnp.cos(obs[18]), jnp.sin(obs[18])])
  return jnp.concatenate([obs[:9], valve, obs[19:28], error(obs)[None]])


def follow(before: PhysicsState, action: Array, after: PhysicsState) -> Goal:
  """Advances the target and stores the action."""
  del before
  goal = after.memory
  return Goal(action, goal.target + DT * goal.speed, goal.speed)


def observe(physics: PhysicsState) -> Array:
  """Returns joints, valve, last action and target."""
  goal, velocities = physics.memory, physics.qvel[:9]
  return jnp.concatenate(
    [physics.qpos[:9], velocities, physics.qpos[9:], goal.last_action, goal.target[None]]
  )


def marks(physics: PhysicsState) -> Array:
  """Returns the pose of the target's marker."""
  return mocap_pose(jnp.array([0, 0, HEIGHT]), yaw_quaternion(physics.memory.target))


def _within(key: Key, spread: float) -> Array:
  """Draws a uniform number within ``[-spread, spread]``."""
  return jax.random.uniform(key, (), minval=-spread, maxval=spread)
