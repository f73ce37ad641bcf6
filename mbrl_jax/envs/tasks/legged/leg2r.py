"""Two-link leg of M-DeMoRL: its foot follows a half-ellipse with a flat lower side.

Observation ``[8]``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     phase of the cycle, in ``[0, 2 pi)``               rad
1 2   hip, knee: joint angles, 0 hangs straight down     rad
3 4   joint velocities                                   rad/s
5 6   commanded motor torques, before the gear           N m
7     control steps since the reset; not for models      1
===== ================================================== ==========

Action ``[2]`` within 1: hip, knee. The motor torques are the average of the last two actions,
times 0.4 N m; gears of 6 and 8.18 make at most 2.4 and 3.272 N m at the joints, of which
gravity takes up to 1.97 and 0.40 N m on the path. A control step is 0.008 s, an episode 1000.

The desired foot position relative to the hip: ``x = 0.16 cos(phase)``, ``z = -0.44 + 0.1
max(-sin(phase), 0)`` m. Reward: ``exp(-scale * distance)`` between it and the foot, both after
the step. From the 450th step on an episode terminates when that distance exceeds 0.1 m.

Source: Mishra, Samineni et al., "Dynamic Mirror Descent based Model Predictive Control for
Accelerating Robot Learning" (2022), whose robot was one leg of Stoch 3. Observation, action,
reward and termination are those of the released environment, the path that of the scripts that
read its data. No simulation was published: links, masses and gears are those of Stoch 3.

Deviations: the released code advances the phase by 0.4 pi every step, five points a cycle; here
by ``2 pi frequency dt``, by default with the 1 Hz of the rig's own test. By default the shank
is the 0.28 m of the published environment; Stoch 3's is 0.347 m. Rotor inertias (0.0036 and
0.0067 kg m^2 at the joints) and friction (0.05 N m s/rad) are guesses. The robot first moves to
its initial pose; here it starts there, at rest, with angle noise of up to 0.02 rad.
``encode`` drops the number of steps, which the original does not observe.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.leg import foot_position, joint_angles
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.ops.angle import wrap
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key

DT = 0.008  # s
THIGH = 0.297
"""Length from hip to knee, metres."""
SHANKS = (0.28, 0.347)
"""Lengths from knee to foot that ``make_leg2r`` accepts, metres."""
TORQUE = 0.4
"""Largest torque of a motor, before the gear, N m."""

_HIP = np.array([0.0, 0.0, 0.6], np.float32)  # m, in the world
_NOISE = 0.02  # rad, of the initial pose
_GRACE_STEPS = 450  # control steps before an episode can terminate


Foot = Callable[[Array], Array]
"""Maps the angles ``[2]`` to the foot position ``[2]``, metres."""


class FootPath(NamedTuple):
  """Memory of the task.

  Attributes:
    phase: phase of the cycle, rad ``[]``.
    action: the last action, within the bounds ``[2]``.
    torque: the last commanded motor torques, N m ``[2]``.
    steps: control steps since the reset ``[]``.
  """

  phase: Array
  action: Array
  torque: Array
  steps: Array


def make_leg2r(
  physics: str = "auto", *, shank: float = 0.28, frequency: float = 1.0, scale: float = 1.0
) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    shank: length of the lower link, metres: 0.28, of the published environment, or 0.347, of
      Stoch 3.
    frequency: cycles per second.
    scale: scale of the distance in the reward, 1/m; the published environment uses 1, its
      scripts 10.

  Raises:
    ValueError: an unknown shank or physics, or a number that is not positive.
  """
  validate.choice("shank", shank, SHANKS)
  validate.positive(frequency=frequency, scale=scale)
  foot = functools.partial(foot_position, lengths=(THIGH, shank))
  return make_task(
    "leg2r",
    load_asset("leg2r", functools.partial(_set_shank, length=shank)),
    physics,
    dt=DT,
    episode_length=1000,
    reward=functools.partial(reward, foot=foot, scale=scale),
    terminated=functools.partial(terminated, foot=foot),
    initial=functools.partial(initial, shank=shank),
    observe=observe,
    memory=Memory(start, functools.partial(update, frequency=frequency)),
    command=command,
    action_low=[-1.0, -1.0],
    action_high=[1.0, 1.0],
    marks=marks,
    encode=published_observation,
    target=target,
    decode=decode,
  )


def desired_foot(phase: Array) -> Array:
  """Returns the desired foot position relative to the hip, ``[x, z]`` in metres."""
  lift = jnp.maximum(-jnp.sin(phase), 0.0)
  return jnp.stack([0.16 * jnp.cos(phase), -0.44 + 0.1 * lift])


def reward(obs: Array, action: Array, next_obs: Array, *, foot: Foot, scale: float) -> Array:
  """Rewards a foot near the desired position; at most 1 a step."""
  del obs, action
  return jnp.exp(-scale * _distance(next_obs, foot))


def terminated(obs: Array, action: Array, next_obs: Array, *, foot: Foot) -> Array:
  """True once the foot is off its path, after the grace steps."""
  del obs, action
  return (_distance(next_obs, foot) > 0.1) & (next_obs[7] >= _GRACE_STEPS)


def _distance(obs: Array, foot: Foot) -> Array:
  """Returns the distance of the foot from the desired position, metres."""
  return norm(foot(obs[1:3]) - desired_foot(obs[0]))


def published_observation(obs: Array) -> Array:
  """Returns the original's observation ``[7]``: all but the number of steps."""
  return obs[:7]


def target(obs: Array, next_obs: Array) -> Array:
  """Returns the changes ``[8]``, that of the phase within half a cycle."""
  change = next_obs - obs
  return jnp.concatenate([wrap(change[:1]), change[1:]])


def decode(obs: Array, target: Array) -> Array:
  """Returns the next observation, with a phase below one cycle."""
  after = obs + target
  return after.at[0].add(jnp.where(after[0] >= 2 * np.pi, -2 * np.pi, 0.0))


def initial(key: Key, *, shank: float) -> tuple[Array, Array]:
  """Draws angles around those of the start of the path, at rest."""
  angles = joint_angles(desired_foot(jnp.zeros(())), (THIGH, shank))
  noise = jax.random.uniform(key, (2,), minval=-_NOISE, maxval=_NOISE)
  return angles + noise, jnp.zeros(2)


def start(key: Key, physics: PhysicsState) -> FootPath:
  """Returns the start of the cycle, with zero torque."""
  del key, physics
  return FootPath(jnp.zeros(()), jnp.zeros(2), jnp.zeros(2), jnp.zeros(()))


def update(
  before: PhysicsState, action: Array, after: PhysicsState, *, frequency: float
) -> FootPath:
  """Advances the phase by one control step."""
  del after
  loop = before.memory
  phase = jnp.mod(loop.phase + 2 * np.pi * frequency * DT, 2 * np.pi)
  return FootPath(phase, action, command(before, action), loop.steps + 1)


def command(before: PhysicsState, action: Array) -> Array:
  """Returns the motor torques ``[2]``, N m, from the average of the last two actions."""
  return TORQUE * 0.5 * (action + before.memory.action)


def observe(physics: PhysicsState) -> Array:
  """Returns phase, angles, velocities, torques and the number of steps."""
  loop = physics.memory
  ends = loop.phase[None], loop.steps[None]
  return jnp.concatenate([ends[0], physics.qpos, physics.qvel, loop.torque, ends[1]])


def marks(physics: PhysicsState) -> Array:
  """Returns the pose of the marker of the desired foot position."""
  x, z = desired_foot(physics.memory.phase)
  return jnp.concatenate([_HIP + jnp.stack([x, jnp.zeros(()), z]), jnp.array([1.0, 0, 0, 0])])


def _set_shank(spec: mujoco.MjSpec, length: float) -> None:
  """Sets the length of the shank and keeps its mass and centre of mass."""
  rod, drive, foot = (spec.geom(name) for name in ("shank", "knee_drive", "foot"))
  mass, centre = rod.mass + drive.mass, 0.118  # m, below the knee
  rod.mass = mass * 2 * centre / length
  drive.mass = mass - rod.mass
  rod.fromto = [0, 0, 0, 0, 0, -length]
  foot.pos = spec.site("foot").pos = [0, 0, -length]
