"""Spells models, their objects and MuJoCo's enumerations as MJCF does, for error messages."""

from __future__ import annotations

from typing import Any

import mujoco


def model_name(model: Any) -> str:
  """Returns the name of an ``MjModel`` or ``mjx.Model``."""
  return model.names[: model.names.index(b"\0")].decode()


def object_name(model: Any, kind: str, index: int) -> str:
  """Returns the quoted name of an object of an ``MjModel``, or its number."""
  if not isinstance(model, mujoco.MjModel):
    return str(index)
  name = mujoco.mj_id2name(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), int(index))
  return repr(name) if name else str(index)


def enum_name(member: Any) -> str:
  """Returns the MJCF keyword of a member of MuJoCo's enumerations."""
  return member.name.split("_", 1)[1].lower()
