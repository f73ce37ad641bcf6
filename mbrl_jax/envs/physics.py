"""Defines what physics is to a task: two pure functions over one state.

``make_physics`` builds them for a MuJoCo model with MJX (compiled by XLA, for
accelerators), with MuJoCo's C engine (called from compiled code, for CPUs) or with Warp
(an extra, for NVIDIA GPUs).
Tasks with equations of their own fill in ``Physics`` themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.variants import check_variants
from mbrl_jax.ops import validate
from mbrl_jax.types import Array

BACKENDS = ("mjx", "mujoco", "warp")


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


def make_physics(
  models: mujoco.MjModel | Sequence[mujoco.MjModel],
  substeps: int,
  backend: str,
  sensors: tuple[int, ...] = (),
  keyframe: int | None = None,
) -> Physics:
  """Builds the physics of a MuJoCo model, or of several that are variants of one.

  Args:
    models: the compiled model; it is copied or read, never changed. Of several, all of
      the same shape, ``PhysicsState.variant`` tells which one moves a state, so rows of
      a batch may have different ones: MJX gathers the fields that differ, MuJoCo C is
      handed a model for each row.
    substeps: simulation steps of ``model.opt.timestep`` in one control step.
    backend: ``"mjx"``, ``"mujoco"`` or ``"warp"``; ``resolve_backend`` turns ``"auto"``
      into one.
    sensors: ids of sensors whose values every state carries. They are evaluated at
      that state, under the ``ctrl`` that led to it (the keyframe's after ``init``, or
      zero): one more forward computation in each control step.
    keyframe: number of the keyframe from which ``init`` takes what it is not told: the
      time, activations, the deformation of plastic springs. ``None``: none of them.

  Raises:
    ValueError: ``substeps`` is not positive, ``backend`` is unknown or there is no
      hardware for it, models are not of the same shape or it does not support one.
    ImportError: Warp is asked for and not installed.
  """
  validate.choice("backend", backend, BACKENDS)
  validate.positive(substeps=substeps)
  models = check_variants(models)
  if backend == "warp":
    from mbrl_jax.envs.mjx_warp import check_warp, warp_physics

    check_warp()
    return warp_physics(models, substeps, sensors, keyframe)
  if backend == "mjx":
    from mbrl_jax.envs.mjx import mjx_physics

    return mjx_physics(models, substeps, sensors, keyframe)
  from mbrl_jax.envs.mujoco_c import mujoco_physics

  return mujoco_physics(models, substeps, sensors, keyframe)


def keyframe_ctrl(model: mujoco.MjModel, keyframe: int | None) -> np.ndarray:
  """Returns the ``ctrl [nu]`` that a keyframe holds; zero without one."""
  return np.zeros(model.nu) if keyframe is None else model.key_ctrl[keyframe].copy()


def everything(state: PhysicsState) -> Array:
  """Observes positions, velocities, activations and sensors of a MuJoCo model."""
  return jnp.concatenate([state.qpos, state.qvel, state.data.act, jnp.asarray(state.sensors)])


def resolve_backend(physics: str) -> str:
  """Names the backend that ``physics`` stands for on this machine.

  ``"auto"`` is MuJoCo C where jax computes on a CPU and MJX elsewhere. On a CPU MJX
  compiles for seconds and loses where there are contacts: a planar runner makes 155,000
  steps a second in C and 30,000 at best in batches of MJX, on two cores. Batches of models
  that nothing constrains it steps two to six times faster than C (pendulum, 512 at a time:
  4.0 against 0.65 million a second), so for planning ``"mjx"`` can be worth asking for.
  ``"warp"`` is taken only where it is asked for: it was not measured.

  Raises:
    ValueError: ``physics`` is unknown.
  """
  validate.choice("physics", physics, ("auto", *BACKENDS))
  if physics != "auto":
    return physics
  return "mujoco" if jax.default_backend() == "cpu" else "mjx"
