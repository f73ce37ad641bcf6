"""Presets of MAL: overrides of the algorithm's defaults by preset and task, see ``pal``."""

from __future__ import annotations

from experiments.configs import pal

PAPER = {
  "any": {},
  "hopper": {
    **pal.HOPPER,
    "init_steps": 20_000,
    "update_every": 4000,
    "policy.log_std": -0.5,
    "steps": 116_000,
  },
}

PRESETS = {"cpu": PAPER, "paper": PAPER}
