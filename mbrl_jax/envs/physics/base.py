"""Defines the physics of a task: two pure functions of one state.

``backends.make_physics`` builds them for a MuJoCo model; tasks with closed-form equations
construct ``Physics`` directly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.types import Array


class PhysicsState(NamedTuple):
  """Complete state of a simulated system.

  Attributes:
    qpos: generalised positions ``[nq]``.
    qvel: generalised velocities ``[nv]``.
    data: other state of the physics, a pytree of arrays; for a MuJoCo model ``data.act``
      are the actuators' activations ``[na]``.
    sensors: values ``[S]`` at this state of the sensors given to ``make_physics``, or ``()``.
    memory: the task's own state, see ``task.Memory``; the physics ignores it.
    variant: index of the active model ``[]`` int32, or ``()`` if there is only one.
  """

  qpos: Array
  qvel: Array
  data: Any = ()
  sensors: Any = ()
  memory: Any = ()
  variant: Any = ()


class Physics(NamedTuple):
  """A simulated system as a pair of pure functions of one example.

  Attributes:
    init: ``(qpos [nq], qvel [nv]) -> PhysicsState``; with a MuJoCo model it takes
      activations ``[na]`` as a third argument, zero by default, and with several models the
      keyword ``variant``, the index of the active one, 0 by default.
    step: ``(PhysicsState, ctrl [nu]) -> PhysicsState`` after one control step with constant
      ``ctrl``. NaN in gives NaN out.
    variants: number of models.
  """

  init: Callable[..., PhysicsState]
  step: Callable[[PhysicsState, Array], PhysicsState]
  variants: int = 1


def keyframe_ctrl(model: mujoco.MjModel, keyframe: int | None) -> np.ndarray:
  """Returns the ``ctrl [nu]`` of a keyframe; zero without one."""
  return np.zeros(model.nu) if keyframe is None else model.key_ctrl[keyframe].copy()


def qpos_and_qvel(state: PhysicsState) -> Array:
  """Observes positions and velocities ``[nq + nv]``."""
  return jnp.concatenate([state.qpos, state.qvel])


def observe_all(state: PhysicsState) -> Array:
  """Observes positions, velocities, activations and sensors of a MuJoCo model."""
  return jnp.concatenate([state.qpos, state.qvel, state.data.act, jnp.asarray(state.sensors)])
