"""Makes what the tasks of rllab have in common, as MBMF changed them.

Their observations end in position and velocity of the centre of mass of the whole body,
``[x y z vx vy vz]`` (m, m/s), and their rewards pay that velocity along x. Episodes start in
one of two ways, option ``reset``: ``"data"``, as where MBMF collects random data and where TRPO
learns, or ``"mpc"``, as where its planner runs and is evaluated.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), its published code and its fork of rllab.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, Key

SENSORS = ("com", "com_velocity")
"""Centre of mass ``[3]`` and its velocity ``[3]``."""

RESETS = ("data", "mpc")
"""The ways in which an episode can start."""


def load_rllab(
  asset: str,
  body: str,
  timestep: float,
  change: Callable[[mujoco.MjSpec], None] | None = None,
) -> mujoco.MjModel:
  """Compiles ``assets/<asset>.xml`` with ``SENSORS`` on all that hangs on ``body``.

  Args:
    asset: name of the file.
    body: the root of the body.
    timestep: seconds of a simulation step.
    change: edits the specification further.
  """

  def edit(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = timestep
    kinds = (mujoco.mjtSensor.mjSENS_SUBTREECOM, mujoco.mjtSensor.mjSENS_SUBTREELINVEL)
    for name, kind in zip(SENSORS, kinds, strict=True):
      spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_BODY, objname=body)
    if change is not None:
      change(spec)

  return load_asset(asset, edit)


def make_initial(
  reset: str,
  home: Any,
  velocities: int,
  *,
  free: bool = False,
  even: bool = False,
  spread: float = 0.01,
) -> Initial:
  """Builds how an episode starts around ``home``.

  Args:
    reset: ``"data"``: positions off by ``spread * N(0, 1)``; ``"mpc"``: evenly by up to 0.1.
      Velocities are ``0.1 * N(0, 1)``.
    home: positions ``[nq]``.
    velocities: their number ``nv``.
    free: the first seven positions are those of a free joint, whose quaternion is normalised.
    even: draw velocities evenly up to 0.1 with ``"mpc"``.
    spread: see ``reset``.

  Raises:
    ValueError: an unknown ``reset``.
  """
  validate.choice("reset", reset, RESETS)
  home = np.float32(home)

  def uniform(key: Key, size: int) -> Array:
    return jax.random.uniform(key, (size,), minval=-0.1, maxval=0.1)

  def initial(key: Key) -> tuple[Array, Array]:
    keys = jax.random.split(key)
    if reset == "data":
      noise = spread * jax.random.normal(keys[0], home.shape)
    else:
      noise = uniform(keys[0], home.size)
    qpos, qvel = home + noise, 0.1 * jax.random.normal(keys[1], (velocities,))
    if even and reset == "mpc":
      qvel = uniform(keys[1], velocities)
    if free:
      quaternion = qpos[3:7] / jnp.linalg.norm(qpos[3:7])
      qpos = jnp.concatenate([qpos[:3], quaternion, qpos[7:]])
    return qpos, qvel

  return initial
