"""Finds what a model uses and MJX leaves out, often without saying so.

mujoco-mjx 3.17 refuses some of what it does not simulate, in terms of MuJoCo's enumerations,
and ignores the rest. Every rule here was found by stepping a small model with it on MJX and
on MuJoCo C; ``tests/envs/physics/test_mjx_support.py`` keeps the comparison.

Simulated, but with other numerics, and so not refused: contacts of boxes, meshes, cylinders,
ellipsoids and height fields (other contact points); equality constraints ``connect`` and
``weld``, which leave out the centripetal term of the constraint, so that joints closed by
them give way by millimetres in fast motion; free bodies under ``implicitfast``, whose
gyroscopic forces are taken explicitly; and tendons across branches of the tree: C leaves out
what their armature, and under ``implicitfast`` their damping, couples between branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mujoco
import numpy as np

_OFF, _ON, _SENSOR = mujoco.mjtDisableBit, mujoco.mjtEnableBit, mujoco.mjtSensor
_EULER, _FAST = mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_IMPLICITFAST

Rule = tuple[str, str, Callable[[Any], Any]]
"""Kind of object, what of it is left out, and which objects have that ``[n] bool``."""


def find_unsupported(model: Any, engine: str = "MJX") -> str | None:
  """Names what ``model`` uses and an engine does not simulate.

  Args:
    model: ``mujoco.MjModel``; or an ``mjx.Model``, of which only what it still holds is known.
    engine: ``"MJX"``, or ``"Warp"``, which simulates more.

  Returns:
    Features by their names in MJCF and the objects that have them, or ``None``.
  """
  whole = isinstance(model, mujoco.MjModel)
  rules = _WARP if engine == "Warp" else (*_WARP, *_JOINTS, *_CONTACTS, *_ACTUATORS)
  found = [*_options(model, engine)] if whole else []
  for kind, feature, test in rules:
    try:
      names = [_name(model, kind, i) for i in np.flatnonzero(test(model))]
    except AttributeError:
      if whole:
        raise
      continue  # whoever made the mjx.Model has dropped it already
    if names:
      found.append(f"{feature} of {kind} {', '.join(names)}")
  return "; ".join(found) or None


def find_unread(model: Any, sensors: tuple[int, ...], contacts: int) -> str | None:
  """Names what sensors show and MJX does not compute.

  Args:
    model: ``mujoco.MjModel`` or ``mjx.Model``.
    sensors: ids of the sensors that are read; what is wrong with others does not matter.
    contacts: how many the model can have on MJX.
  """
  faults = [
    f"{fault} for sensor {_name(model, 'sensor', i)}"
    for i in sensors
    for fault in _sensor_faults(model, i, contacts)
  ]
  return "; ".join(faults) or None


def _name(model: Any, kind: str, index: int) -> str:
  """Returns the name of an object in quotes, or its number."""
  if not isinstance(model, mujoco.MjModel):
    return str(index)
  name = mujoco.mj_id2name(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), int(index))
  return repr(name) if name else str(index)


def _options(model: mujoco.MjModel, engine: str) -> Iterator[str]:
  """Yields the options and flags that are left out."""
  opt = model.opt
  if opt.enableflags & _ON.mjENBL_SLEEP:
    yield "option flag sleep='enable'"
  if model.nplugin:
    yield "plugins"
  if engine == "Warp":
    return
  if opt.integrator not in (_EULER, mujoco.mjtIntegrator.mjINT_RK4, _FAST):
    yield f"option integrator='{_word(mujoco.mjtIntegrator(opt.integrator))}'"
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
  """Yields kinds of actuators and sensors that MJX does not know."""
  for field, members, last in (
    ("trntype", mujoco.mjtTrn, mujoco.mjtTrn.mjTRN_SITE),
    ("dyntype", mujoco.mjtDyn, mujoco.mjtDyn.mjDYN_MUSCLE),
    ("gaintype", mujoco.mjtGain, mujoco.mjtGain.mjGAIN_MUSCLE),
    ("biastype", mujoco.mjtBias, mujoco.mjtBias.mjBIAS_MUSCLE),
  ):
    for i, value in enumerate(getattr(model, f"actuator_{field}")):
      if value > int(last) or members(value) == mujoco.mjtTrn.mjTRN_SLIDERCRANK:
        yield f"{field}='{_word(members(value))}' of actuator {_name(model, 'actuator', i)}"
  for i in np.flatnonzero(np.isin(model.sensor_type, _UNKNOWN_SENSORS)):
    kind = _word(_SENSOR(int(model.sensor_type[i])))
    kind = {"geomdist": "distance", "geomnormal": "normal", "geomfromto": "fromto"}.get(
      kind, kind
    )
    yield f"the {kind} of sensor {_name(model, 'sensor', i)}"


def _passive(model: mujoco.MjModel, fluid: bool) -> Iterator[str]:
  """Yields flags of springs and dampers; MJX drops all passive forces with either."""
  off = model.opt.disableflags
  springs = model.jnt_stiffness.any() or model.tendon_stiffness.any()
  dampers = model.dof_damping.any() or model.tendon_damping.any()
  weightless = model.flg_gravcomp and not off & _OFF.mjDSBL_GRAVITY
  no_spring, no_damper = bool(off & _OFF.mjDSBL_SPRING), bool(off & _OFF.mjDSBL_DAMPER)
  lost = (springs and not no_spring) or (dampers and not no_damper)
  lost = lost or ((weightless or fluid) and not (no_spring and no_damper))
  # what MJX's Euler integrates implicitly it does not switch off
  implicit = model.opt.integrator == _EULER and not off & _OFF.mjDSBL_EULERDAMP
  if no_spring and lost:
    yield "option flag spring='disable' where there are other passive forces"
  if no_damper and (lost or (dampers and implicit)):
    yield "option flag damper='disable' where there are other passive forces"


def _word(member: Any) -> str:
  """Spells a member of MuJoCo's enumerations as MJCF does."""
  return member.name.split("_", 1)[1].lower()


def _mixed(solref: np.ndarray) -> np.ndarray:
  """Tells which ``solref [..., 2]`` mix the two formats, which C replaces by the default."""
  return (solref[..., 0] > 0) != (solref[..., 1] > 0)


def _narrow(limited: np.ndarray, bounds: np.ndarray, margin: np.ndarray) -> np.ndarray:
  """Tells which limits can both be active: MJX has one constraint for the two."""
  return (limited != 0) & (bounds[:, 1] - bounds[:, 0] < 2 * margin)


def _of_dofs(model: mujoco.MjModel, bad: np.ndarray) -> np.ndarray:
  """Tells which joints have a bad degree of freedom."""
  return np.isin(np.arange(model.njnt), model.dof_jntid[bad])


def _scalar(model: mujoco.MjModel) -> np.ndarray:
  return model.jnt_type >= int(mujoco.mjtJoint.mjJNT_SLIDE)


_WARP: tuple[Rule, ...] = (
  ("joint", "springyield", lambda m: m.jnt_plasticadr >= 0),
  ("tendon", "springyield", lambda m: m.tendon_plasticadr >= 0),
  ("actuator", "actuatorgroupdisable", lambda m: _disabled(m)),
  ("actuator", "armature", lambda m: m.actuator_armature != 0),
  ("actuator", "delay or nsample", lambda m: m.actuator_history[:, 0] > 0),
  ("sensor", "delay, interval or nsample", lambda m: m.sensor_history[:, 0] > 0),
)
_JOINTS: tuple[Rule, ...] = (
  ("joint", "polynomial stiffness", lambda m: m.jnt_stiffnesspoly.any(-1)),
  ("joint", "polynomial damping", lambda m: _of_dofs(m, m.dof_dampingpoly.any(-1))),
  (
    "joint",
    "range narrower than two margins",
    lambda m: _narrow(m.jnt_limited, m.jnt_range, m.jnt_margin) & _scalar(m),
  ),
  (
    "joint",
    "solreflimit of mixed signs",
    lambda m: _mixed(m.jnt_solref) & (m.jnt_limited != 0),
  ),
  (
    "joint",
    "solreffriction of mixed signs",
    lambda m: _of_dofs(m, _mixed(m.dof_solref) & (m.dof_frictionloss > 0)),
  ),
  ("tendon", "polynomial stiffness", lambda m: m.tendon_stiffnesspoly.any(-1)),
  ("tendon", "polynomial damping", lambda m: m.tendon_dampingpoly.any(-1)),
  (
    "tendon",
    "range narrower than two margins",
    lambda m: _narrow(m.tendon_limited, m.tendon_range, m.tendon_margin),
  ),
  (
    "tendon",
    "solreflimit of mixed signs",
    lambda m: _mixed(m.tendon_solref_lim) & (m.tendon_limited != 0),
  ),
  (
    "tendon",
    "solreffriction of mixed signs",
    lambda m: _mixed(m.tendon_solref_fri) & (m.tendon_frictionloss > 0),
  ),
  ("equality", "solref of mixed signs", lambda m: _mixed(m.eq_solref)),
)
_CONTACTS: tuple[Rule, ...] = (
  ("geom", "surfacevel", lambda m: m.geom_surfacevel.any(-1)),
  ("geom", "adhesion", lambda m: m.geom_adhesion != 0),
  ("pair", "adhesion", lambda m: m.pair_adhesion != 0),
  ("geom", "solref of mixed signs", lambda m: _mixed(m.geom_solref)),
  ("pair", "solref of mixed signs", lambda m: _mixed(m.pair_solref)),
  (
    "pair",
    "solreffriction of mixed signs",
    lambda m: _mixed(m.pair_solreffriction) & (m.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC),
  ),
  (
    "geom",
    "fluidshape='ellipsoid'",
    lambda m: (m.geom_fluid[:, 0] > 0) & (m.opt.density > 0 or m.opt.viscosity > 0),
  ),
)
_ACTUATORS: tuple[Rule, ...] = (
  ("actuator", "damping", lambda m: (m.actuator_damping != 0) | m.actuator_dampingpoly.any(-1)),
  ("actuator", "actearly", lambda m: (m.actuator_actearly != 0) & (m.actuator_actnum > 0)),
  (
    "actuator",
    "integrator='implicitfast' with the clipped or muscular, velocity-dependent force",
    lambda m: _clipped(m),
  ),
)


def _disabled(model: mujoco.MjModel) -> np.ndarray:
  """Tells which actuators ``actuatorgroupdisable`` switches off."""
  group = model.actuator_group
  off = (model.opt.disableactuator >> np.clip(group, 0, 30)) & 1
  return (off != 0) & (group >= 0) & (group <= 30)


def _clipped(model: mujoco.MjModel) -> np.ndarray:
  """Tells whose force ``implicitfast`` differentiates otherwise than C."""
  gain, bias, kind = model.actuator_gaintype, model.actuator_biastype, mujoco.mjtGain
  affine_gain = (gain == int(kind.mjGAIN_AFFINE)) & (model.actuator_gainprm[:, 2] != 0)
  affine_bias = (bias == int(mujoco.mjtBias.mjBIAS_AFFINE)) & (
    model.actuator_biasprm[:, 2] != 0
  )
  spans = zip(model.actuator_ctrladr, model.actuator_ctrlnum, strict=True)
  control = np.array([model.actuator_ctrllimited[a : a + n].any() for a, n in spans], bool)
  clipped = (model.actuator_forcelimited != 0) | (affine_gain & control)
  clipped |= bool(model.jnt_actfrclimited.any() or model.tendon_actfrclimited.any())
  muscle = gain == int(kind.mjGAIN_MUSCLE)
  fast = model.opt.integrator == _FAST
  return fast & (muscle | ((affine_gain | affine_bias) & clipped))


def _sensor_faults(model: Any, sensor: int, contacts: int) -> Iterator[str]:
  """Yields what a sensor shows on MuJoCo C only."""
  kind, cutoff = _SENSOR(int(model.sensor_type[sensor])), model.sensor_cutoff[sensor] > 0
  if kind in (_SENSOR.mjSENS_FRAMELINACC, _SENSOR.mjSENS_FRAMEANGACC) and cutoff:
    yield "cutoff"
  if kind in (_SENSOR.mjSENS_TOUCH, _SENSOR.mjSENS_CONTACT) and not contacts:
    yield "contacts where nothing can collide"
  if kind == _SENSOR.mjSENS_TOUCH:
    site = mujoco.mjtGeom(int(model.site_type[model.sensor_objid[sensor]]))
    if site not in _SEEN_BY_RAYS or site == mujoco.mjtGeom.mjGEOM_MESH:
      yield f"a site of type='{_word(site)}'"
  if kind == _SENSOR.mjSENS_CONTACT and (model.geom_gap.any() or model.pair_gap.any()):
    yield "contacts within a gap"
  if kind == _SENSOR.mjSENS_CONTACT and contacts > 1:
    data, reduction = model.sensor_intprm[sensor][:2]
    if reduction == 0 and data != _FOUND:
      yield "reduce='none', which shows any contacts,"
  spatial = (model.wrap_type == int(mujoco.mjtWrap.mjWRAP_SITE)).any()
  if kind in (_SENSOR.mjSENS_FORCE, _SENSOR.mjSENS_TORQUE) and spatial:
    yield "forces of spatial tendons on bodies"
  if kind == _SENSOR.mjSENS_RANGEFINDER:
    site = model.sensor_objtype[sensor] == int(mujoco.mjtObj.mjOBJ_SITE)
    if not site or model.sensor_dim[sensor] > 1:
      yield "camera or data"
    if not model.nmat:
      yield "rays in a model that has no material"
    if not np.isin(model.geom_type, [int(geom) for geom in _SEEN_BY_RAYS]).all():
      yield "rays that meet cylinders, height fields or distance fields"


_FOUND = 1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)
_SEEN_BY_RAYS = (
  mujoco.mjtGeom.mjGEOM_PLANE,
  mujoco.mjtGeom.mjGEOM_SPHERE,
  mujoco.mjtGeom.mjGEOM_CAPSULE,
  mujoco.mjtGeom.mjGEOM_ELLIPSOID,
  mujoco.mjtGeom.mjGEOM_BOX,
  mujoco.mjtGeom.mjGEOM_MESH,
)
_UNKNOWN_SENSORS = [
  int(getattr(_SENSOR, f"mjSENS_{name}"))
  for name in (
    *("JOINTLIMITPOS", "JOINTLIMITVEL", "JOINTLIMITFRC"),
    *("TENDONLIMITPOS", "TENDONLIMITVEL", "TENDONLIMITFRC"),
    *("INSIDESITE", "GEOMDIST", "GEOMNORMAL", "GEOMFROMTO"),
    *("E_POTENTIAL", "E_KINETIC", "TACTILE", "PLUGIN", "USER"),
  )
]
