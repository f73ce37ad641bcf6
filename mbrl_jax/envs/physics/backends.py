"""Builds the physics of a MuJoCo model on one of three backends.

MJX is compiled by XLA, for accelerators; MuJoCo's C engine is called from compiled code, for
CPUs; Warp is an extra, for NVIDIA GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import mujoco

from mbrl_jax.envs.physics.base import Physics
from mbrl_jax.envs.physics.mjx import mjx_physics
from mbrl_jax.envs.physics.mjx_warp import check_warp, warp_physics
from mbrl_jax.envs.physics.mujoco_c import mujoco_physics
from mbrl_jax.envs.physics.variants import check_variants
from mbrl_jax.ops import validate

BACKENDS = ("mjx", "mujoco", "warp")


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
    check_warp()
    return warp_physics(models, substeps, sensors, keyframe)
  if backend == "mjx":
    return mjx_physics(models, substeps, sensors, keyframe)
  return mujoco_physics(models, substeps, sensors, keyframe)


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
