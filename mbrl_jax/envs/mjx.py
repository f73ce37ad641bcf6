"""Simulates a MuJoCo model with MJX, all inside XLA and in float32.

Only what determines the future is carried between control steps: positions,
velocities, actuator activations and the solver's warm start. Everything else in
``mjx.Data`` is derived, so scanning over an episode keeps no kinematics alive.
"""

from __future__ import annotations

import contextlib
import io
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from mbrl_jax.envs.physics import Physics, PhysicsState
from mbrl_jax.types import Array


class MjxData(NamedTuple):
  """What MJX carries besides positions and velocities.

  Attributes:
    act: actuator activations ``[na]``.
    warmstart: accelerations where the constraint solver starts ``[nv]``.
  """

  act: Array
  warmstart: Array


def mjx_physics(model: mujoco.MjModel, substeps: int) -> Physics:
  """Builds the physics of ``model`` on MJX; see ``physics.make_physics``."""
  mjx = _import_mjx()
  device_model = mjx.put_model(model, impl="jax")

  def init(qpos: Array, qvel: Array) -> PhysicsState:
    data = MjxData(jnp.zeros(model.na), jnp.zeros(model.nv))
    return PhysicsState(jnp.asarray(qpos), jnp.asarray(qvel), data)

  def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
    blank = mjx.make_data(model, impl="jax").replace(ctrl=ctrl)

    def substep(state: PhysicsState, _: None) -> tuple[PhysicsState, None]:
      data = mjx.step(
        device_model,
        blank.replace(
          qpos=state.qpos,
          qvel=state.qvel,
          act=state.data.act,
          qacc_warmstart=state.data.warmstart,
        ),
      )
      return PhysicsState(data.qpos, data.qvel, MjxData(data.act, data.qacc_warmstart)), None

    return jax.lax.scan(substep, state, length=substeps)[0]

  return Physics(init, step)


def _import_mjx() -> ModuleType:
  """Imports MJX without the lines that it prints where Warp is not installed."""
  with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
  return mjx
