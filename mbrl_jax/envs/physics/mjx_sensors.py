"""Finds sensors of a model that MJX does not compute as MuJoCo C does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from mbrl_jax.envs.physics.mjcf_names import enum_name, object_name

_SENSOR = mujoco.mjtSensor

UNKNOWN_SENSORS = [
  int(getattr(_SENSOR, f"mjSENS_{name}"))
  for name in (
    *("JOINTLIMITPOS", "JOINTLIMITVEL", "JOINTLIMITFRC"),
    *("TENDONLIMITPOS", "TENDONLIMITVEL", "TENDONLIMITFRC"),
    *("INSIDESITE", "GEOMDIST", "GEOMNORMAL", "GEOMFROMTO"),
    *("E_POTENTIAL", "E_KINETIC", "TACTILE", "PLUGIN", "USER"),
  )
]
_FOUND = 1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)
_SEEN_BY_RAYS = (
  mujoco.mjtGeom.mjGEOM_PLANE,
  mujoco.mjtGeom.mjGEOM_SPHERE,
  mujoco.mjtGeom.mjGEOM_CAPSULE,
  mujoco.mjtGeom.mjGEOM_ELLIPSOID,
  mujoco.mjtGeom.mjGEOM_BOX,
  mujoco.mjtGeom.mjGEOM_MESH,
)


def find_unread(model: Any, sensors: tuple[int, ...], contacts: int) -> str | None:
  """Returns the parts of sensor readings that MJX does not compute, or ``None``.

  Args:
    model: ``mujoco.MjModel`` or ``mjx.Model``.
    sensors: ids of the sensors that are read; others are not checked.
    contacts: the largest number of contacts that the model can have on MJX.
  """
  faults = [
    f"{fault} for sensor {object_name(model, 'sensor', i)}"
    for i in sensors
    for fault in _sensor_faults(model, i, contacts)
  ]
  return "; ".join(faults) or None


def _sensor_faults(model: Any, sensor: int, contacts: int) -> Iterator[str]:
  """Yields the parts of a sensor's reading that only MuJoCo C computes."""
  kind, cutoff = _SENSOR(int(model.sensor_type[sensor])), model.sensor_cutoff[sensor] > 0
  if kind in (_SENSOR.mjSENS_FRAMELINACC, _SENSOR.mjSENS_FRAMEANGACC) and cutoff:
    yield "cutoff"
  if kind in (_SENSOR.mjSENS_TOUCH, _SENSOR.mjSENS_CONTACT) and not contacts:
    yield "contacts where nothing can collide"
  if kind == _SENSOR.mjSENS_TOUCH:
    site = mujoco.mjtGeom(int(model.site_type[model.sensor_objid[sensor]]))
    if site not in _SEEN_BY_RAYS or site == mujoco.mjtGeom.mjGEOM_MESH:
      yield f"a site of type='{enum_name(site)}'"
  if kind == _SENSOR.mjSENS_CONTACT and (model.geom_gap.any() or model.pair_gap.any()):
    yield "contacts within a gap"
  if kind == _SENSOR.mjSENS_CONTACT and contacts > 1:
    data, reduction = model.sensor_intprm[sensor][:2]
    if reduction == 0 and data != _FOUND:
      yield "reduce='none', which reports arbitrary contacts,"
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
