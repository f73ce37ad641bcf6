"""Presets of DAgger: overrides of the algorithm's defaults by preset and task.

Both have the values of the original (Nagabandi et al. 2017, released code), with its rounds of
rollouts in environment steps. ``planner`` is that of the paper's runs: where the run that is
imitated has another, give the same flags here. Each step costs one plan.
"""

from __future__ import annotations

import math
from typing import Any


def rounds(count: int, rollouts: int, length: int = 1000) -> dict[str, int]:
  """Returns the steps of ``count`` rounds of ``rollouts`` episodes, and those of one round."""
  return {"steps": count * rollouts * length, "update_every": rollouts * length}


def planner(samples: int, horizon: int) -> dict[str, int]:
  """Returns the sizes of random shooting."""
  return {"planner.samples": samples, "planner.horizon": horizon}


PAPER: dict[str, dict[str, Any]] = {
  "any": {},
  "swimmer": {
    **rounds(3, 5, 333),
    **planner(5000, 20),
    "epochs": 70,
    "policy.log_std": math.log(1.0),
  },
  "halfcheetah_mbmf": {
    **rounds(3, 2),
    **planner(1000, 20),
    "epochs": 300,
    "holdout": 10_000,
    "action_noise": 0.0,
    "policy.log_std": math.log(0.5),
  },
  "hopper_mbmf": {
    **rounds(5, 5),
    **planner(1000, 40),
    "epochs": 200,
    "action_noise": 0.0,
    "policy.log_std": math.log(1.0),
  },
  "ant_mbmf": {
    **rounds(5, 5),
    **planner(3000, 5),
    "epochs": 200,
    "action_noise": 0.0,
    "policy.log_std": math.log(0.5),
  },
}

PRESETS = {"cpu": PAPER, "paper": PAPER}
