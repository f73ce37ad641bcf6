"""Sets the cart-pole swing-up task of PETS.

Chua et al., "Deep Reinforcement Learning in a Handful of Trials using
Probabilistic Dynamics Models" (2018), with the geometry, reward and time step of its
published code. Angle 0 hangs down; the tip of the pole has to reach a point 0.6 m
above the middle of the rail.

Deviations: MuJoCo 4 in place of 1.31, so trajectories agree in kind, not bit for bit.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics import PhysicsState, make_physics, resolve_backend
from mbrl_jax.envs.task import Task, never
from mbrl_jax.types import Array, EnvSpec, Key

POLE = 0.6
"""Length of the pole from hinge to tip, metres."""

SUBSTEPS = 2
SCALE = 0.1  # standard deviation of the initial positions and velocities


def make_cartpole(physics: str = "auto") -> Task:
  """Builds the task; observation ``[x, theta, xdot, thetadot]`` (m, rad, 1/s).

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  path = Path(__file__).parent / "assets" / "cartpole.xml"
  model = mujoco.MjModel.from_xml_path(str(path))
  spec = EnvSpec(
    name="cartpole",
    obs_dim=4,
    action_low=np.float32(model.actuator_ctrlrange[:, 0]),
    action_high=np.float32(model.actuator_ctrlrange[:, 1]),
    dt=model.opt.timestep * SUBSTEPS,
    episode_length=200,
    reward=reward,
    terminated=never,
    encode=encode,
  )
  return Task(
    spec=spec,
    physics=make_physics(model, SUBSTEPS, resolve_backend(physics)),
    initial=initial,
    observe=observe,
    model=model,
    segments=segments,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards a tip near its goal after the step and charges the squared action.

  ``exp(-|tip - (0, 0.6)|^2 / 0.6^2) - 0.01 |a|^2``: at most 1 a step.
  """
  del obs
  x, theta = next_obs[0], next_obs[1]
  tip = jnp.stack([x - POLE * jnp.sin(theta), -POLE * jnp.cos(theta)])
  distance = jnp.sum((tip - np.float32([0.0, POLE])) ** 2)
  return jnp.exp(-distance / POLE**2) - 0.01 * jnp.sum(action**2)


def encode(obs: Array) -> Array:
  """Turns an observation into ``[sin theta, cos theta, x, xdot, thetadot]``."""
  x, theta, xdot, thetadot = obs
  return jnp.stack([jnp.sin(theta), jnp.cos(theta), x, xdot, thetadot])


def initial(key: Key) -> tuple[Array, Array]:
  """Draws positions and velocities, each normal around zero."""
  state = SCALE * jax.random.normal(key, (2, 2))
  return state[0], state[1]


def observe(physics: PhysicsState) -> Array:
  """Returns ``[x, theta, xdot, thetadot]``."""
  return jnp.concatenate([physics.qpos, physics.qvel])


def segments(pose: np.ndarray) -> np.ndarray:
  """Draws rail, cart and pole as line segments ``[3, 2, 2]`` in metres."""
  x, theta = float(pose[0]), float(pose[1])
  tip = (x - POLE * np.sin(theta), -POLE * np.cos(theta))
  return np.array(
    [[(-2.5, 0.0), (2.5, 0.0)], [(x - 0.2, 0.0), (x + 0.2, 0.0)], [(x, 0.0), tip]]
  )
