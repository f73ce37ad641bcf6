"""Builds the rows of a sweep, which varies one axis at a time around a centre."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmark.peers.sizes import Sizes


@dataclasses.dataclass(frozen=True)
class SweepCell:
  """Settings of one row of a sweep.

  Attributes:
    plans, particles, horizon: see ``Sizes``.
    nets: members, width and number of hidden layers, such as ``"5x200x4"``.
    dtype: precision of the nets' matrix products.
    devices: number of devices over which the candidates are sharded.
  """

  plans: int
  particles: int
  horizon: int
  nets: str
  dtype: str
  devices: int

  def sizes(self, base: Sizes) -> Sizes:
    """Returns ``base`` with the sizes of this row."""
    members, hidden = parse_nets(self.nets)
    return dataclasses.replace(
      base,
      plans=self.plans,
      particles=self.particles,
      horizon=self.horizon,
      members=members,
      hidden=hidden,
    )


AXES = tuple(field.name for field in dataclasses.fields(SweepCell))

_TWO = {"dtype": ("float32", "bfloat16"), "devices": (1, 2)}
DEFAULTS: dict[str, dict[str, tuple]] = {
  # Takes minutes on two CPU cores.
  "cartpole": {
    "plans": (400, 50, 100, 200, 800, 1600, 3200),
    "particles": (20, 5, 10, 40),
    "horizon": (15, 5, 30, 60),
    "nets": ("5x200x4", "5x64x2", "5x128x2", "5x500x3"),
    **_TWO,
  },
  # For an accelerator.
  "halfcheetah": {
    "plans": (500, 1000, 2000, 5000, 10000, 20000, 50000, 100000),
    "particles": (20, 5, 50, 100),
    "horizon": (30, 10, 60, 120),
    "nets": ("5x200x4", "5x64x2", "5x500x3", "5x1000x3"),
    **_TWO,
  },
}
"""Default axes of each setting; the centre's value first."""


def cells(axes: Mapping[str, Sequence[Any]]) -> list[SweepCell]:
  """Returns the centre, made of the first value of each axis, then all other rows."""
  centre = SweepCell(**{name: axes[name][0] for name in AXES})
  others = [
    dataclasses.replace(centre, **{name: value}) for name in AXES for value in axes[name][1:]
  ]
  return list(dict.fromkeys([centre, *others]))


def parse_nets(text: str) -> tuple[int, tuple[int, ...]]:
  """Parses ``"5x200x4"`` as five members with four hidden layers of 200 units.

  Raises:
    ValueError: ``text`` does not have this form.
  """
  match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
  if not match:
    raise ValueError(f"{text!r} is not members x width x layers, such as 5x200x4")
  members, width, layers = map(int, match.groups())
  return members, (width,) * layers
