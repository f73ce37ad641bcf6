"""Humanoid: a body with 17 motors that walks along x without falling.

Observation ``[46]``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     position x of the body's centre of mass; not for   m
      learned models
1     height of the torso over the floor                 m
2-5   orientation of the torso, quaternion w x y z       1
6-8   abdomen about z, y, x: joint angles                rad
9-12  right hip about x, z, y, right knee                rad
13-16 left hip about x, z, y, left knee                  rad
17-19 right shoulder 1 and 2, right elbow                rad
20-22 left shoulder 1 and 2, left elbow                  rad
23-25 velocity of the torso along x, y, z                m/s
26-28 angular velocity of the torso, in its own frame    rad/s
29-45 joint velocities, in the order of the angles       rad/s
===== ================================================== ==========

Action ``[17]`` within 0.4: motors of the joints in the order of the angles, but for the
abdomen: y, z, x; times 300 Nm (hips about y), 200 (knees), 25 (arms) and 100 (others). A
control step is 0.015 s, an episode 1000 of them. It is healthy while the height of the torso
is between 1 and 2 m; otherwise the episode terminates. Reward: ``1.25 (x' - x) / dt + 5 - 0.1
|a|^2``, the 5 only while healthy.

Source: Gymnasium's humanoid_v5, observing only positions and velocities, as MBPO's
HumanoidTruncatedObs. With ``version=4`` the last, unhealthy step also pays the 5.

Deviations: see ``locomotion`` for x. Contact forces are not charged, as in Gymnasium's
version 4: they are no function of ``(obs, action, next_obs)``. Gymnasium takes x from the last
stage of the integrator, which lags the state by a fraction of a simulation step; x here is
that of the state. The rewards of single random steps differ by 1e-4 on average and 0.004 at
most; over an episode all differences but the last cancel. The orientation is already
normalised at the reset. MJX and Warp have no PGS solver and use Newton's.
"""

from __future__ import annotations

import jax.numpy as jnp
import mujoco

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.backends import resolve_backend
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.gym.gymnasium_task import healthy_bonus
from mbrl_jax.envs.tasks.gym.locomotion import make_locomotion, speed
from mbrl_jax.types import Array

DT = 0.015  # s


def make_humanoid(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task; see ``make_gymnasium_task`` for the arguments and errors."""
  model = load_asset("humanoid")
  if resolve_backend(physics) != "mujoco":
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
  return make_locomotion(
    "humanoid",
    model,
    physics,
    dt=DT,
    version=version,
    reward=reward,
    terminated=terminated,
    encode=gym_observation,
    initial=reset_noise.uniform(model, 0.01),
    observe=observe,
    sensors=("centre_of_mass",),
  )


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards forward velocity and being healthy, charges the squared action."""
  bonus = healthy_bonus(5.0, terminated(obs, action, next_obs), version)
  return 1.25 * speed(obs, next_obs, DT) + bonus - 0.1 * jnp.sum(action**2)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once fallen, above 2 m, or NaN."""
  del obs, action
  return ~((next_obs[1] > 1.0) & (next_obs[1] < 2.0))


def gym_observation(obs: Array) -> Array:
  """Returns the positions and velocities of Gymnasium's observation ``[45]``."""
  return obs[1:]


def observe(physics: PhysicsState) -> Array:
  """Returns x of the centre of mass, positions except x and y, and velocities."""
  return jnp.concatenate([physics.sensors[:1], physics.qpos[2:], physics.qvel])
