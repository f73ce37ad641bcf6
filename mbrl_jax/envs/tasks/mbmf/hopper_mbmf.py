"""Hopper of MBMF: the usual body with a control step of 0.02 s.

Observation ``[17]``; velocities are those of the positions above them:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     height of the torso over the floor                 m
1     pitch of the torso, forward positive               rad
2 3 4 thigh, leg, foot: joint angles                     rad
5 6   velocity of the torso along z, along x             m/s
7     pitch rate                                         rad/s
8-10  joint velocities, in the order of the angles       rad/s
11-13 centre of mass x, y, z (y is 0)                    m
14-16 velocity of the centre of mass along x, y, z       m/s
===== ================================================== ==========

Action ``[3]`` within 1: motors of the joints in the order of the angles, times 200 Nm. A
control step is 0.02 s, an episode 1000 of them. The episode terminates unless the height
exceeds 0.7 m, the pitch is within 0.3 rad, all values are finite and all of ``obs[2:11]``
within 100. Reward: ``vx' + 1 - 0.005 |a|^2``, with ``vx = obs[14]``; the last step also pays
the 1. Option ``reset``, see ``rllab``; with ``end_on_fall=False`` episodes never terminate.

Source: see ``rllab``.

Deviations: MuJoCo 4 in place of 1.31. The observation holds the unclipped velocities of the
joints, because termination depends on them; ``encode`` clips them to 10, as rllab's
observation, for policies and learned models. MBMF continues the episodes of its first, random
data, 200 steps long, after a fall; here that is an option, ``end_on_fall=False``, because data
may as well be collected in the task that is planned for.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Task, never
from mbrl_jax.envs.tasks.mbmf import rllab
from mbrl_jax.types import Array

DT = 0.02  # s
HOME = np.array([0, 1.25, 0, 0, 0, 0], np.float32)  # x, z, pitch, thigh, leg, foot


def make_hopper_mbmf(
  physics: str = "auto", *, reset: str = "data", end_on_fall: bool = True
) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    reset: selects the initial states, see ``rllab``.
    end_on_fall: whether a fall, or a value beyond its limit, terminates the episode.
  """
  return rllab.make_rllab(
    "hopper_mbmf",
    rllab.load_rllab("hopper", "torso", DT),
    physics,
    dt=DT,
    reward=reward,
    terminated=terminated if end_on_fall else never,
    initial=rllab.make_initial(reset, HOME, 6),
    observe=observe,
    encode=rllab_observation,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the centre of mass for moving along x and charges the squared action."""
  del obs
  return next_obs[14] + 1.0 - 0.005 * jnp.sum(action**2)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once fallen, beyond 100, or not finite."""
  del obs, action
  within = jnp.isfinite(next_obs).all() & (jnp.abs(next_obs[2:11]) < 100).all()
  return ~(within & (next_obs[0] > 0.7) & (jnp.abs(next_obs[1]) < 0.3))


def rllab_observation(obs: Array) -> Array:
  """Returns rllab's observation ``[17]``: joint velocities clipped to 10."""
  return jnp.concatenate([obs[:5], jnp.clip(obs[5:11], -10, 10), obs[11:]])


def observe(physics: PhysicsState) -> Array:
  """Returns positions except x, velocities (z before x, as in rllab), centre of mass."""
  x, z, *others = physics.qvel
  velocities = jnp.stack([z, x, *others])
  return jnp.concatenate([physics.qpos[1:], velocities, physics.sensors])
