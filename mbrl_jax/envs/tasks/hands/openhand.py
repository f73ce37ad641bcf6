"""OpenHand Model Q: turns a valve, or an apple by finger gaiting.

The hand hangs above the ground. Two fingers face each other; the other two are on a base that
a motor turns, and share one tendon. Nine joints, four motors. Observation ``[10]`` of
``openhand_valve`` and ``[19]`` of ``openhand_gaiting``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     base: angle                                        rad
1-8   proximal, distal joint of the left, right, coupled rad
      left and coupled right finger: angles, 0 lies flat
9     valve: angular velocity                            rad/s
===== ================================================== ==========

===== ================================================== ==========
0-8   as above
9-11  apple: position                                    m
12-15 apple: orientation, quaternion x y z w             1
16-18 apple: angular velocity in the world               rad/s
===== ================================================== ==========

Action ``[4]``: torque of the base within 10; pull on the tendons of the left, right and
coupled fingers from 0 to 10, 10 and 20. A finger's joint torques are the pull times 1
(proximal) and 2 (distal), its springs have a stiffness of 6.25 and 17.86 per rad: a pull of 10
closes it. The model scales all torques and springs by 0.05 N m: a pull of 10 is 0.5 N m at the
proximal joint. A control step is 1/120 s, an episode 1000.

Reward: angular velocity about z after the step, of the valve or the apple, rad/s. The episode
terminates when the apple touches the ground. The valve's starts with an open hand, the
apple's with the fingers around it, which have to close before it falls.

Source: MushroomRL's OpenHandModelQ in its last version, as a substitute for the experiments of
Morgan et al., "Model Predictive Actor-Critic: Accelerating Robot Skill Acquisition with Deep
Reinforcement Learning" (2021). Observation and reward of the physical hand are not public.

Deviations: capsules in place of meshes, with the inertias of their shapes and 1e-4 kg m^2 of
the motors at each joint in place of the placeholders; the distal links are 0.045 m long, which
is not documented. The factor of 0.05, because 10 N m is too much for a finger of 45 g, and
a joint damping of 0.01 N m s/rad against oscillation. The valve's damping is 0.02 N m s/rad:
the 160 of the original has another meaning in PyBullet and would stop it here. Simulation
steps of 1/480 s, not 1/960. Only the distal links touch the valve, and fingers do not touch
each other; the apple is a ball, with a ball's inertia. An arm of the valve starts right below
a finger, as in the original: rounding can decide to which side it slips.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, Key

DT = 1 / 120  # s
VALVES = ("tri", "quad", "round")
APPLE = 0.0371
"""Radius of the apple, metres."""

_JOINTS = np.array([4, 0, 1, 2, 3, 5, 6, 7, 8])  # indices of the observed angles in qpos
_CLOSING = np.array(
  [np.pi / 3, np.pi / 6], np.float32
)  # rad, angles of a finger around the apple
_GRASP = np.concatenate([np.tile(_CLOSING, 2), np.zeros(1, np.float32), np.tile(_CLOSING, 2)])
_START = np.array([*_GRASP, 0, 0, 0.07, 1, 0, 0, 0], np.float32)


def make_openhand_valve(physics: str = "auto", *, valve: str = "tri") -> Task:
  """Builds the valve task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    valve: ``"tri"`` or ``"quad"``, with three or four arms, or ``"round"``.

  Raises:
    ValueError: an unknown valve or physics.
  """
  validate.choice("valve", valve, VALVES)
  return make_task(
    "openhand_valve",
    load_asset(f"openhand_valve_{valve}"),
    physics,
    dt=DT,
    episode_length=1000,
    reward=spin,
    initial=open_hand,
    observe=observe_valve,
  )


def make_openhand_gaiting(physics: str = "auto") -> Task:
  """Builds the gaiting task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  return make_task(
    "openhand_gaiting",
    load_asset("openhand_gaiting"),
    physics,
    dt=DT,
    episode_length=1000,
    reward=spin,
    terminated=dropped,
    initial=around_the_apple,
    observe=observe_apple,
  )


def spin(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the angular velocity about z, the last observation of both tasks."""
  del obs, action
  return next_obs[-1]


def dropped(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once the apple touches the ground or is NaN."""
  del obs, action
  return ~(next_obs[11] > APPLE)


def open_hand(key: Key) -> tuple[Array, Array]:
  """Returns the initial state with all angles at zero."""
  del key
  return jnp.zeros(10), jnp.zeros(10)


def around_the_apple(key: Key) -> tuple[Array, Array]:
  """Returns the initial state with the fingers around the apple, without contact."""
  del key
  return jnp.asarray(_START), jnp.zeros(15)


def observe_valve(physics: PhysicsState) -> Array:
  """Returns the hand's angles and the valve's velocity."""
  return jnp.concatenate([physics.qpos[_JOINTS], physics.qvel[9:]])


def observe_apple(physics: PhysicsState) -> Array:
  """Returns the hand's angles, the apple's pose and its angular velocity."""
  position, (w, x, y, z) = physics.qpos[9:12], physics.qpos[12:]
  velocity = _rotate(physics.qpos[12:], physics.qvel[12:])
  return jnp.concatenate([physics.qpos[_JOINTS], position, jnp.stack([x, y, z, w]), velocity])


def _rotate(quaternion: Array, vector: Array) -> Array:
  """Rotates a vector ``[3]`` from the body's frame to the world."""
  axis = quaternion[1:]
  twice = 2 * jnp.cross(axis, vector)
  return vector + quaternion[0] * twice + jnp.cross(axis, twice)
