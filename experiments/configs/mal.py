"""Presets of MAL: overrides of the algorithm's defaults by preset and task, see ``pal``.

Only hopper's config is released. The others are those of PAL with all data and more policy
steps.
"""

from __future__ import annotations

from typing import Any

from experiments.configs import pal

ALL_DATA = {"capacity": 100_000, "policy_steps": 20}

PAPER: dict[str, dict[str, Any]] = {
  name: {**values, **ALL_DATA} for name, values in pal.PAPER.items()
}
PAPER["hopper"] |= {
  "steps": 116_000,
  "init_steps": 20_000,
  "update_every": 4000,
  "policy.log_std": -0.5,
}

CPU = {**PAPER, "hopper": {**PAPER["hopper"], **pal.SMALLER, "policy.log_std": 0.0}}
"""With the paper's -0.5 the first policies leap forward and fall, and stay there for long."""

PRESETS = {"cpu": CPU, "paper": PAPER}
