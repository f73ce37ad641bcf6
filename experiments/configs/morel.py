"""Presets of MOReL: overrides of the algorithm's defaults by preset and task.

``paper`` has the values of the released configs (Kidambi et al. 2020).
"""

from __future__ import annotations

PAPER = {
  "any": {},
  "hopper": {"obs_scale": (1.0,) * 5 + (0.02,) * 6, "horizon": 700},
}

PRESETS = {"cpu": PAPER, "paper": PAPER}
