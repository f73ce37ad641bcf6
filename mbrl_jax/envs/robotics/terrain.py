"""Adds terrain to a model whose robot starts at the origin.

Ramps and blocks are ahead of it, along x: boxes over the model's floor, of its default class
``ground``, and few, because MJX computes the contacts of all pairs. Bumps are all around it.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.types import Array

BEFORE = 0.5
"""Distance from the origin to the start of a ramp, metres."""
RUN = 1.5
"""Length of a ramp along x, metres."""

BUMP = 0.05
"""Largest height of a bump, metres."""

_CELL, _CELLS = 0.075, 80  # m, and cells along each side of the bumpy ground
_WIDE = 2.0  # m, half the width of the terrain
_LONG = 2.0  # m, half the length of the level part next to a ramp
_THICK = 0.1  # m, half
# x, y, m; yaw, rad; height, m
_BLOCKS = (
  (0.38, 0.15, 0.2, 0.015),
  (0.42, -0.18, -0.4, 0.022),
  (0.72, 0.02, 0.7, 0.028),
  (0.80, 0.36, 0.1, 0.018),
  (0.84, -0.36, -0.2, 0.03),
  (1.10, 0.18, -0.5, 0.024),
  (1.16, -0.16, 0.3, 0.014),
  (1.46, 0.04, 0.0, 0.03),
  (1.50, 0.38, 0.6, 0.02),
  (1.52, -0.34, 0.4, 0.026),
  (1.84, 0.16, -0.3, 0.016),
  (1.90, -0.18, 0.5, 0.03),
)


def ramp_height(x: Array, slope: float) -> Array:
  """Returns the height of the ground at ``x []``, metres.

  Args:
    x: position along the heading, metres.
    slope: rad; positive rises from the floor, negative descends to it.
  """
  along = jnp.clip(x - BEFORE, 0.0, RUN)
  return math.tan(slope) * (along if slope > 0 else along - RUN)


def on_ramp(x: Array) -> Array:
  """Returns whether the ground is inclined at ``x []``."""
  return (x > BEFORE) & (x < BEFORE + RUN)


def add_ramp(spec: mujoco.MjSpec, slope: float) -> None:
  """Adds a ramp and a level part at its high end; see ``ramp_height``."""
  rise, middle = RUN * math.tan(abs(slope)), BEFORE + RUN / 2
  down = math.sin(slope) * _THICK, -math.cos(slope) * _THICK  # from the surface into the box
  _add_box(
    spec,
    "ramp",
    [RUN / 2 / math.cos(slope), _WIDE, _THICK],
    [middle + down[0], 0, rise / 2 + down[1]],
    [math.cos(slope / 2), 0, -math.sin(slope / 2), 0],
  )
  edge = BEFORE + RUN + _LONG if slope > 0 else BEFORE - _LONG
  _add_box(spec, "level", [_LONG, _WIDE, rise / 2], [edge, 0, rise / 2], [1, 0, 0, 0])


def add_blocks(spec: mujoco.MjSpec) -> None:
  """Adds twelve low blocks, up to 0.03 m high, over two metres ahead."""
  for i, (x, y, turn, height) in enumerate(_BLOCKS):
    quat = [math.cos(turn / 2), 0, 0, math.sin(turn / 2)]
    _add_box(spec, f"block_{i}", [0.12, 0.16, height / 2], [x, y, height / 2], quat)


def add_bumps(spec: mujoco.MjSpec) -> None:
  """Makes the floor a height field, 6 m wide and flat until ``draw_bumps``.

  Contact margins become 0: MJX does not support them for height fields.
  """
  half, points = _CELL * _CELLS / 2, _CELLS + 1
  field = spec.add_hfield(name="bumps", nrow=points, ncol=points, size=[half, half, BUMP, 0.1])
  field.userdata = [0.0] * points**2
  floor = spec.geom("floor")
  floor.type, floor.hfieldname = mujoco.mjtGeom.mjGEOM_HFIELD, "bumps"
  for geom in spec.geoms:
    geom.margin = 0.0


def draw_bumps(model: mujoco.MjModel, rng: np.random.Generator) -> None:
  """Draws the height of every corner of the cells uniformly from 0 to ``BUMP``."""
  model.hfield_data[:] = rng.uniform(size=model.hfield_data.size)


def _add_box(spec: mujoco.MjSpec, name: str, size: list, pos: list, quat: list) -> None:
  """Adds a box of class ``ground`` to the world; sizes are half lengths."""
  box = mujoco.mjtGeom.mjGEOM_BOX
  ground = spec.find_default("ground")
  spec.worldbody.add_geom(ground, name=name, type=box, size=size, pos=pos, quat=quat)
