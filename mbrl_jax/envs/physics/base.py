"""Defines what physics is to a task: two pure functions over one state.

``backends.make_physics`` builds them for a MuJoCo model; tasks with equations of their own
fill in ``Physics`` themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.types import Array


class PhysicsState(NamedTuple):
  """All that the future of a simulated system depends on.

  Attributes:
    qpos: generalised positions ``[nq]``.
    qvel: generalised velocities ``[nv]``.
    data: whatever else the physics carries, a pytree of arrays; of a MuJoCo model
      ``data.act`` are the actuators' activations ``[na]``.
    sensors: values ``[S]`` of the sensors that the physics was asked for, at this very
      state, or ``()``.
    memory: what the task remembers besides, see ``task.Memory``; no physics reads it.
    variant: index of the model in force ``[]`` int32, or ``()`` where there is only one.
  """

  qpos: Array
  qvel: Array
  data: Any = ()
  sensors: Any = ()
  memory: Any = ()
  variant: Any = ()


class Physics(NamedTuple):
  """A simulated system as a pair of pure functions over one example.

  Attributes:
    init: ``(qpos [nq], qvel [nv]) -> PhysicsState``; that of a MuJoCo model takes
      activations ``[na]`` as a third argument, zero by default, and that of several
      models the keyword ``variant``, 0 by default: the index of the one in force.
    step: ``(PhysicsState, ctrl [nu]) -> PhysicsState`` after one control step,
      ``ctrl`` held all through it. NaN in gives NaN out.
    variants: how many models a state may choose from.
  """

  init: Callable[..., PhysicsState]
  step: Callable[[PhysicsState, Array], PhysicsState]
  variants: int = 1


def keyframe_ctrl(model: mujoco.MjModel, keyframe: int | None) -> np.ndarray:
  """Returns the ``ctrl [nu]`` that a keyframe holds; zero without one."""
  return np.zeros(model.nu) if keyframe is None else model.key_ctrl[keyframe].copy()


def everything(state: PhysicsState) -> Array:
  """Observes positions, velocities, activations and sensors of a MuJoCo model."""
  return jnp.concatenate([state.qpos, state.qvel, state.data.act, jnp.asarray(state.sensors)])
