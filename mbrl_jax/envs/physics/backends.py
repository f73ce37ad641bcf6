"""Builds the physics of a MuJoCo model on one of three backends.

MJX compiles to XLA, for accelerators; MuJoCo's C engine is called back from compiled code, for
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
  """Builds the physics of a MuJoCo model, or of several variants of one.

  Args:
    models: the compiled model, which is not changed; or several of the same shape. Then
      ``PhysicsState.variant`` selects the model that steps a state, so rows of a batch may
      use different models: MJX gathers the fields that differ, MuJoCo C gets one model for
      each row.
    substeps: simulation steps of ``model.opt.timestep`` in one control step.
    backend: ``"mjx"``, ``"mujoco"`` or ``"warp"``; ``resolve_backend`` resolves ``"auto"``.
    sensors: ids of sensors whose values every state carries. They are evaluated at
      that state, under the ``ctrl`` that led to it (the keyframe's after ``init``, or
      zero): one more forward computation in each control step.
    keyframe: number of the keyframe from which ``init`` takes the time, activations and
      deformation of plastic springs where they are not given; ``None``: zero.

  Raises:
    ValueError: ``substeps`` is not positive, ``backend`` is unknown, lacks its hardware or
      does not support a model, or the models differ in shape.
    ImportError: ``backend`` is ``"warp"``, which is not installed.

  Example:
    >>> import mujoco
    >>> from mbrl_jax.envs import make_physics
    >>> model = mujoco.MjModel.from_xml_string(
    ...   "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>")
    >>> physics = make_physics(model, substeps=5, backend="mujoco")
    >>> state = physics.init(model.qpos0, [0.0] * model.nv)
    >>> round(float(physics.step(state, []).qvel[2]), 4)  # 5 steps of 0.002 s under gravity
    -0.0981
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
  """Returns the backend that ``physics`` selects on this machine.

  ``"auto"`` is MuJoCo C where jax computes on a CPU and MJX elsewhere. On a CPU MJX
  compiles for seconds and is slower with contacts: a planar runner makes 155,000
  steps a second in C and 30,000 at best in batches of MJX, on two cores. It steps batches of
  unconstrained models two to six times faster than C (pendulum, 512 at a time: 4.0 against
  0.65 million a second), so ``"mjx"`` can pay for planning. ``"auto"`` never selects
  ``"warp"``, which was not measured.

  Raises:
    ValueError: ``physics`` is unknown.
  """
  validate.choice("physics", physics, ("auto", *BACKENDS))
  if physics != "auto":
    return physics
  return "mujoco" if jax.default_backend() == "cpu" else "mjx"
