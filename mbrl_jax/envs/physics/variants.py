"""Checks that models are variants of one: domain randomisation as data.

The state of a physics with several models holds the index of the active one, see
``backends.make_physics``. Variants may differ in every number that is not static: masses,
friction, gains, damping, lengths and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

_SIZES = (
  "nq",
  "nv",
  "nu",
  "na",
  "nbody",
  "njnt",
  "ngeom",
  "nsite",
  "ntendon",
  "nsensor",
  "neq",
)
_EQUAL = ("jnt_type", "geom_type", "sensor_adr", "sensor_dim", "body_parentid", "eq_active0")


def check_variants(
  models: mujoco.MjModel | Sequence[mujoco.MjModel],
) -> tuple[mujoco.MjModel, ...]:
  """Returns the models as a tuple if they are variants of one.

  Args:
    models: one model, or several of the same shape.

  Raises:
    ValueError: there is no model, one is not an ``MjModel``, or two differ in size, types of
      joints or geoms, ``opt.timestep``, poses of mocap bodies or active equalities.
  """
  models = (models,) if isinstance(models, mujoco.MjModel) else tuple(models)
  if not models:
    raise ValueError("variants=[] contains no model.")
  for i, model in enumerate(models):
    if not isinstance(model, mujoco.MjModel):
      raise ValueError(f"variants[{i}] must be a mujoco.MjModel, got {type(model).__name__}.")
    difference = _difference(models[0], model)
    if difference:
      raise ValueError(
        f"variants[{i}] and variants[0] must have the same shape, but differ in {difference}."
      )
  return models


def _difference(one: mujoco.MjModel, other: mujoco.MjModel) -> str | None:
  """Returns the first difference that variants must not have, or ``None``."""
  for name in _SIZES:
    if getattr(one, name) != getattr(other, name):
      return f"{name}: {getattr(other, name)} and {getattr(one, name)}"
  if one.opt.timestep != other.opt.timestep:
    return f"opt.timestep: {other.opt.timestep:g} and {one.opt.timestep:g}"
  for name in _EQUAL:
    if not np.array_equal(getattr(one, name), getattr(other, name)):
      return name
  mocap = one.body_mocapid >= 0
  for name in ("body_mocapid", "body_pos", "body_quat"):
    if not np.array_equal(getattr(one, name)[mocap], getattr(other, name)[mocap]):
      return f"{name} of mocap bodies"
  return None if one.signature == other.signature else "the source that they were compiled from"
