"""Checks models that are variants of one: domain randomisation as data.

A physics of several models carries the index of the one in force in its state, see
``physics.make_physics``. What may differ is every number that no program is built from:
masses, friction, gains, damping, lengths and so on.
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
_ALIKE = ("jnt_type", "geom_type", "sensor_adr", "sensor_dim", "body_parentid", "eq_active0")


def check_variants(
  models: mujoco.MjModel | Sequence[mujoco.MjModel],
) -> tuple[mujoco.MjModel, ...]:
  """Returns the models as a tuple if one physics can hold them all.

  Args:
    models: one model, or several of the same shape.

  Raises:
    ValueError: none, something that is no ``MjModel``, or two that differ in size, kind of
      parts, ``opt.timestep``, where mocap bodies stand or which equalities are active.
  """
  models = (models,) if isinstance(models, mujoco.MjModel) else tuple(models)
  if not models:
    raise ValueError("variants=[] holds no model.")
  for i, model in enumerate(models):
    if not isinstance(model, mujoco.MjModel):
      raise ValueError(f"variants[{i}] must be a mujoco.MjModel, got {type(model).__name__}.")
    difference = _difference(models[0], model)
    if difference:
      raise ValueError(
        f"variants[{i}] and variants[0] must be of the same shape, but differ in {difference}."
      )
  return models


def _difference(one: mujoco.MjModel, other: mujoco.MjModel) -> str | None:
  """Names what two models must have in common and have not."""
  for name in _SIZES:
    if getattr(one, name) != getattr(other, name):
      return f"{name}: {getattr(other, name)} and {getattr(one, name)}"
  if one.opt.timestep != other.opt.timestep:
    return f"opt.timestep: {other.opt.timestep:g} and {one.opt.timestep:g}"
  for name in _ALIKE:
    if not np.array_equal(getattr(one, name), getattr(other, name)):
      return name
  mocap = one.body_mocapid >= 0
  for name in ("body_mocapid", "body_pos", "body_quat"):
    if not np.array_equal(getattr(one, name)[mocap], getattr(other, name)[mocap]):
      return f"{name} of mocap bodies"
  return None if one.signature == other.signature else "what they were compiled from"
