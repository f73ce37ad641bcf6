"""Defines what physics is to a task: two pure functions over one state.

``make_physics`` builds them for a MuJoCo model with MJX (compiled by XLA, for
accelerators) or with MuJoCo's C engine (called from compiled code, for CPUs).
Tasks with equations of their own fill in ``Physics`` themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import mujoco

from mbrl_jax.ops import validate
from mbrl_jax.types import Array

BACKENDS = ("mjx", "mujoco")


class PhysicsState(NamedTuple):
  """All that the future of a simulated system depends on.

  Attributes:
    qpos: generalised positions ``[nq]``.
    qvel: generalised velocities ``[nv]``.
    data: whatever else the physics carries, a pytree of arrays.
  """

  qpos: Array
  qvel: Array
  data: Any = ()


class Physics(NamedTuple):
  """A simulated system as a pair of pure functions over one example.

  Attributes:
    init: ``(qpos [nq], qvel [nv]) -> PhysicsState``.
    step: ``(PhysicsState, ctrl [nu]) -> PhysicsState`` after one control step,
      ``ctrl`` held all through it. NaN in gives NaN out.
  """

  init: Callable[[Array, Array], PhysicsState]
  step: Callable[[PhysicsState, Array], PhysicsState]


def make_physics(model: mujoco.MjModel, substeps: int, backend: str) -> Physics:
  """Builds the physics of a MuJoCo model.

  Args:
    model: the compiled model; it is copied or read, never changed.
    substeps: simulation steps of ``model.opt.timestep`` in one control step.
    backend: ``"mjx"`` or ``"mujoco"``; ``resolve_backend`` turns ``"auto"`` into one.

  Raises:
    ValueError: ``substeps`` is not positive or ``backend`` is unknown.
  """
  validate.choice("backend", backend, BACKENDS)
  validate.positive(substeps=substeps)
  if backend == "mjx":
    from mbrl_jax.envs.mjx import mjx_physics

    return mjx_physics(model, substeps)
  from mbrl_jax.envs.mujoco_c import mujoco_physics

  return mujoco_physics(model, substeps)


def resolve_backend(physics: str) -> str:
  """Names the backend that ``physics`` stands for on this machine.

  ``"auto"`` is MuJoCo C where jax computes on a CPU and MJX elsewhere. On a CPU MJX
  compiles for seconds, batching does not speed it up, and its batched solver has been
  seen to dead-lock; a single cart-pole it steps as fast as the C engine.

  Raises:
    ValueError: ``physics`` is unknown.
  """
  validate.choice("physics", physics, ("auto", *BACKENDS))
  if physics != "auto":
    return physics
  return "mujoco" if jax.default_backend() == "cpu" else "mjx"
