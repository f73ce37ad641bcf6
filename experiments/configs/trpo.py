"""Presets of TRPO: overrides of the algorithm's defaults by preset and task.

``cpu`` has shorter runs of small tasks; ``paper`` has the values with which MBMF (Nagabandi et
al. 2017) runs the released rllab. The length of the run is chosen here: 500 batches.
"""

from __future__ import annotations

from experiments.configs.npg import SMALL

PRESETS = {
  "cpu": SMALL,
  "paper": {
    "any": {
      "steps": 25_000_000,
      "batch": 50_000,
      "scale_observations": False,
      "policy.hidden": (64, 64),
      "policy.min_log_std": -13.8,
      "policy.max_log_std": 10.0,
      "baseline.kind": "linear",
      "trpo.max_kl": 0.05,
      "trpo.discount": 0.995,
      "trpo.gae_lambda": 1.0,
      "trpo.damping": 1e-5,
      "trpo.cg_iterations": 10,
      "trpo.value_target": "monte_carlo",
    }
  },
}
