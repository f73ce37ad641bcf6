"""Presets of PAL: overrides of the algorithm's defaults by preset and task.

``paper`` has the values of the released configs (Rajeswaran et al. 2020) with the discount that
acts in them; ``cpu`` is for two cores.
"""

from __future__ import annotations

HOPPER = {
  "action_repeat": 2,
  "init_steps": 8000,
  "update_every": 2000,
  "obs_scale": (1.0,) * 5 + (0.02,) * 6,
  "policy.log_std": 0.0,
}
"""The mask of the velocities, and actions held for two steps."""

PAPER = {
  "any": {},
  "hopper": {**HOPPER, "steps": 108_000},
}

PRESETS = {"cpu": {**PAPER, "hopper": {**HOPPER, "steps": 80_000}}, "paper": PAPER}
