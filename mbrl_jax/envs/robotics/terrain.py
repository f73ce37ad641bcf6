"""Lays ground for a walker that starts at the origin.

Ramps and blocks lie ahead of it, along x: boxes over the model's floor, of its default class
``ground``, and few, because MJX computes the contacts of all pairs. Bumps are all around it.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.types import Array

BEFORE = 0.5
"""How far ahead of the origin a ramp begins, metres."""
RUN = 1.5
"""How far a ramp reaches along x, metres."""

BUMP = 0.05
"""How high a bump is at most, metres."""

_CELL, _CELLS = 0.075, 80  # m, and how many on each side of the ground that has bumps
_WIDE = 2.0  # m, half the width of all ground
_LONG = 2.0  # m, half the length of the level part that a ramp leads to or comes from
_THICK = 0.1  # m, half
# along x, y, m; turn, rad; height, m
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
  """Returns how high the ground is at ``x []``, metres.

  Args:
    x: along the heading, metres.
    slope: rad; a positive one rises from the floor, a negative one sinks to it.
  """
  along = jnp.clip(x - BEFORE, 0.0, RUN)
  return math.tan(slope) * (along if slope > 0 else along - RUN)


def on_ramp(x: Array) -> Array:
  """Says whether the ground is inclined at ``x []``."""
  return (x > BEFORE) & (x < BEFORE + RUN)


def add_ramp(spec: mujoco.MjSpec, slope: float) -> None:
  """Lays a ramp and, where it is high, a level part that joins it; see ``ramp_height``."""
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
  """Strews twelve low blocks, up to 0.03 m high, over two metres ahead."""
  for i, (x, y, turn, height) in enumerate(_BLOCKS):
    quat = [math.cos(turn / 2), 0, 0, math.sin(turn / 2)]
    _add_box(spec, f"block_{i}", [0.12, 0.16, height / 2], [x, y, height / 2], quat)


def add_bumps(spec: mujoco.MjSpec) -> None:
  """Makes the floor a height field, 6 m wide and flat until ``draw_bumps``.

  Contacts get no margin, which MJX does not know of height fields.
  """
  half, points = _CELL * _CELLS / 2, _CELLS + 1
  field = spec.add_hfield(name="bumps", nrow=points, ncol=points, size=[half, half, BUMP, 0.1])
  field.userdata = [0.0] * points**2
  floor = spec.geom("floor")
  floor.type, floor.hfieldname = mujoco.mjtGeom.mjGEOM_HFIELD, "bumps"
  for geom in spec.geoms:
    geom.margin = 0.0


def draw_bumps(model: mujoco.MjModel, rng: np.random.Generator) -> None:
  """Gives every corner of the cells a height of its own, evenly from 0 to ``BUMP``."""
  model.hfield_data[:] = rng.uniform(size=model.hfield_data.size)


def _add_box(spec: mujoco.MjSpec, name: str, size: list, pos: list, quat: list) -> None:
  """Adds a box of ground to the world; sizes are halves."""
  box = mujoco.mjtGeom.mjGEOM_BOX
  ground = spec.find_default("ground")
  spec.worldbody.add_geom(ground, name=name, type=box, size=size, pos=pos, quat=quat)
