"""Presets of TRPO: overrides of the algorithm's defaults by preset and task.

``paper`` has the values with which MBMF (Nagabandi et al. 2017) runs the released rllab, and
the lengths of its model-free runs; for other tasks the length is chosen here, 500 batches.
``hybrid`` has the batches and lengths of the runs that go on from an imitated policy, whose
deviation they take (``--init_policy``). ``cpu`` has shorter runs.
"""

from __future__ import annotations

import math
from typing import Any

from experiments.configs.npg import SMALL

RLLAB: dict[str, Any] = {
  "scale_observations": False,
  "policy.hidden": (64, 64),
  "policy.log_std": math.log(1.0),
  "policy.min_log_std": -13.8,
  "policy.max_log_std": 10.0,
  "baseline.kind": "linear",
  "trpo.max_kl": 0.05,
  "trpo.discount": 0.995,
  "trpo.gae_lambda": 1.0,
  "trpo.damping": 1e-5,
  "trpo.cg_iterations": 10,
  "trpo.value_target": "monte_carlo",
  "trpo.accept_first": True,
}
"""Values for every task."""
SWIMMER_BATCH = 150 * 333  # whole episodes, the most within 50,000 steps


def batches(count: int, batch: int = 50_000) -> dict[str, Any]:
  """Returns the values of a run of ``count`` batches of ``batch`` environment steps."""
  return {**RLLAB, "batch": batch, "steps": count * batch}


PRESETS = {
  "cpu": {
    **SMALL,
    "swimmer": batches(40, SWIMMER_BATCH),
    "halfcheetah_mbmf": batches(600),
    "hopper_mbmf": batches(200),
    "ant_mbmf": batches(200),
  },
  "hybrid": {
    "any": batches(500),
    "swimmer": batches(200, SWIMMER_BATCH),
    "halfcheetah_mbmf": batches(2000),
    "hopper_mbmf": batches(2000, 25_000),
    "ant_mbmf": batches(2500),
  },
  "paper": {
    "any": batches(500),
    "swimmer": batches(500, SWIMMER_BATCH),
    "halfcheetah_mbmf": batches(2500),
    "hopper_mbmf": batches(2000),
    "ant_mbmf": batches(2500),
  },
}
