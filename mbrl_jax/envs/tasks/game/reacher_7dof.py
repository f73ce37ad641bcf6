"""Reacher of Game-MBRL: a seven-joint arm moves its hand to a goal.

Observation ``[20]``:

===== ======================================================= =====
index quantity                                                unit
===== ======================================================= =====
0-6   shoulder pan and lift, upper arm roll, elbow, forearm
      roll, wrist flex and roll: joint angles                 rad
7-13  joint velocities times the control step of 0.04 s       rad
14-16 finger                                                  m
17-19 goal                                                    m
===== ======================================================= =====

Action ``[7]`` within 1: motors of the joints in that order, times 20 Nm for the first, 10 Nm
for the others. A control step is 0.04 s, an episode 50 of them; it never terminates. Reward:
``-|d|_1 - 5 |d|_2`` with ``d`` from the goal to the finger after the step. The arm starts
stretched and at rest; the goal is uniform within 0.3, 0.2 and 0.25 m of the origin along x,
y and z. Success: within 5 cm of the goal in the last step.

The non-stationary study: ``forearm`` is the distance from the elbow to the wrist. Arms with
another forearm have the same observations and actions, so states, networks and buffers keep
their shapes: a run can continue on another arm, whose dynamics differ from those that its
model has learned. The observed finger is that of the actual arm.

Source: mjrl, the code of Rajeswaran et al., "A Game Theoretic Framework for Model Based
Reinforcement Learning" (2020). Its model used a reward of the state before the step, the
task one of the state after it; here both use the latter.

Deviations: the available sources do not specify densities: 300 kg/m^3, as in Gymnasium's
pusher, whose arm has the same dimensions; nor the lengths of the study: ``forearm`` is free;
nor when an episode is a success.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import constant_memory, mocap_pose
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key, Success

DT = 0.04  # s
FOREARM = 0.321  # m
NEAR = 0.05  # m, distance below which the goal is reached
SPREAD = np.array([0.3, 0.2, 0.25], np.float32)  # m, largest distance of the goal along x, y, z


def make_reacher_7dof(physics: str = "auto", *, forearm: float = FOREARM) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    forearm: metres from the elbow to the wrist, 0.05 to 1.

  Raises:
    ValueError: a length out of range, or an unknown physics.
  """
  validate.between(0.05, 1.0, forearm=forearm)

  def change(spec: mujoco.MjSpec) -> None:
    spec.geom("forearm").fromto = [0, 0, 0, forearm, 0, 0]
    spec.body("wrist").pos = [forearm, 0, 0]

  return make_task(
    "reacher_7dof",
    load_asset("reacher_7dof", change),
    physics,
    dt=DT,
    episode_length=50,
    reward=reward,
    success=Success(reached, last=1),
    initial=initial,
    observe=observe,
    sensors=("finger",),
    memory=constant_memory(draw_goal),
    marks=lambda physics: mocap_pose(physics.memory),
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges the distance of the finger from the goal after the step."""
  del obs, action
  error = next_obs[14:17] - next_obs[17:]
  return -jnp.sum(jnp.abs(error)) - 5 * norm(error)


def reached(obs: Array) -> Array:
  """Returns whether the finger is within 5 cm of the goal."""
  return norm(obs[14:17] - obs[17:]) < NEAR


def initial(key: Key) -> tuple[Array, Array]:
  """Returns the stretched arm at rest."""
  del key
  return jnp.zeros(7), jnp.zeros(7)


def draw_goal(key: Key) -> Array:
  """Draws the goal ``[3]``."""
  return jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0) * SPREAD


def observe(physics: PhysicsState) -> Array:
  """Returns angles, scaled velocities, finger and goal."""
  return jnp.concatenate([physics.qpos, DT * physics.qvel, physics.sensors, physics.memory])
