"""Finds the features of a model that MJX does not simulate; it ignores many silently.

mujoco-mjx 3.17 rejects some unsupported features, in terms of MuJoCo's enumerations, and
ignores the rest. Every rule was found by stepping a small model on MJX and on MuJoCo C;
``tests/envs/physics/test_mjx_support.py`` repeats the comparison.

Accepted, although the numerics differ: contacts of boxes, meshes, cylinders, ellipsoids and
height fields (other contact points); equality constraints ``connect`` and ``weld``, without
the centripetal term of the constraint, so that closed loops open by millimetres in fast
motion; free bodies under ``implicitfast``, whose gyroscopic forces are explicit; and tendons
across branches of the tree: C ignores the coupling between branches by their armature and,
under ``implicitfast``, by their damping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from mbrl_jax.envs.physics.mjcf_names import enum_name, object_name
from mbrl_jax.envs.physics.mjx_rules import MJX_RULES, WARP_RULES
from mbrl_jax.envs.physics.mjx_sensors import UNKNOWN_SENSORS

_OFF, _ON = mujoco.mjtDisableBit, mujoco.mjtEnableBit
_EULER, _FAST = mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_IMPLICITFAST


def find_unsupported(model: Any, engine: str = "MJX") -> str | None:
  """Returns the features of ``model`` that an engine does not simulate, or ``None``.

  Args:
    model: ``mujoco.MjModel`` or ``mjx.Model``; of the latter only the fields that it still
      holds are checked.
    engine: ``"MJX"``, or ``"Warp"``, which simulates more.

  Returns:
    Features by their MJCF names, each with the objects that use it.
  """
  whole = isinstance(model, mujoco.MjModel)
  rules = WARP_RULES if engine == "Warp" else MJX_RULES
  found = [*_options(model, engine)] if whole else []
  for kind, feature, test in rules:
    try:
      names = [object_name(model, kind, i) for i in np.flatnonzero(test(model)).tolist()]
    except AttributeError:
      if whole:
        raise
      continue  # mjx.put_model dropped the field
    if names:
      found.append(f"{feature} of {kind} {', '.join(names)}")
  return "; ".join(found) or None


def _options(model: mujoco.MjModel, engine: str) -> Iterator[str]:
  """Yields unsupported options and flags."""
  opt = model.opt
  if opt.enableflags & _ON.mjENBL_SLEEP:
    yield "option flag sleep='enable'"
  if model.nplugin:
    yield "plugins"
  if engine == "Warp":
    return
  if opt.integrator not in (_EULER, mujoco.mjtIntegrator.mjINT_RK4, _FAST):
    yield f"option integrator='{enum_name(mujoco.mjtIntegrator(opt.integrator))}'"
  if opt.solver == mujoco.mjtSolver.mjSOL_PGS:
    yield "option solver='PGS'"
  for name in ("OVERRIDE", "ENERGY", "FWDINV", "DIAGEXACT", "IPC", "SPECULATIVE"):
    if opt.enableflags & getattr(_ON, f"mjENBL_{name}"):
      yield f"option flag {name.lower()}='enable'"
  if opt.noslip_iterations:
    yield "option noslip_iterations"
  fluid = opt.density > 0 or opt.viscosity > 0
  if fluid and opt.integrator == _FAST:
    yield "option integrator='implicitfast' in a fluid (density, viscosity)"
  yield from _passive(model, fluid)
  yield from _types(model)
  collides = (model.geom_contype | model.geom_conaffinity) != 0
  solid = [int(mujoco.mjtGeom.mjGEOM_MESH), int(mujoco.mjtGeom.mjGEOM_CYLINDER)]
  if (
    opt.disableflags & _OFF.mjDSBL_MULTICCD and np.isin(model.geom_type[collides], solid).any()
  ):
    yield "option flag multiccd='disable'"


def _types(model: mujoco.MjModel) -> Iterator[str]:
  """Yields unsupported types of actuators and sensors."""
  for field, members, last in (
    ("trntype", mujoco.mjtTrn, mujoco.mjtTrn.mjTRN_SITE),
    ("dyntype", mujoco.mjtDyn, mujoco.mjtDyn.mjDYN_MUSCLE),
    ("gaintype", mujoco.mjtGain, mujoco.mjtGain.mjGAIN_MUSCLE),
    ("biastype", mujoco.mjtBias, mujoco.mjtBias.mjBIAS_MUSCLE),
  ):
    for i, value in enumerate(getattr(model, f"actuator_{field}")):
      if value > int(last) or members(value) == mujoco.mjtTrn.mjTRN_SLIDERCRANK:
        actuator = object_name(model, "actuator", i)
        yield f"{field}='{enum_name(members(value))}' of actuator {actuator}"
  for i in np.flatnonzero(np.isin(model.sensor_type, UNKNOWN_SENSORS)).tolist():
    kind = enum_name(mujoco.mjtSensor(int(model.sensor_type[i])))
    kind = {"geomdist": "distance", "geomnormal": "normal", "geomfromto": "fromto"}.get(
      kind, kind
    )
    yield f"the {kind} of sensor {object_name(model, 'sensor', i)}"


def _passive(model: mujoco.MjModel, fluid: bool) -> Iterator[str]:
  """Yields flags that disable springs or dampers; either disables all passive forces on MJX."""
  off = model.opt.disableflags
  springs = model.jnt_stiffness.any() or model.tendon_stiffness.any()
  dampers = model.dof_damping.any() or model.tendon_damping.any()
  gravcomp = model.flg_gravcomp and not off & _OFF.mjDSBL_GRAVITY
  no_spring, no_damper = bool(off & _OFF.mjDSBL_SPRING), bool(off & _OFF.mjDSBL_DAMPER)
  lost = (springs and not no_spring) or (dampers and not no_damper)
  lost = lost or ((gravcomp or fluid) and not (no_spring and no_damper))
  # MJX's Euler does not disable the damping that it integrates implicitly
  implicit = model.opt.integrator == _EULER and not off & _OFF.mjDSBL_EULERDAMP
  if no_spring and lost:
    yield "option flag spring='disable' where there are other passive forces"
  if no_damper and (lost or (dampers and implicit)):
    yield "option flag damper='disable' where there are other passive forces"
