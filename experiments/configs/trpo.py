"""Presets of TRPO: overrides of the algorithm's defaults by preset and task.

``cpu`` has shorter runs of small tasks; ``paper`` has the values of Duan et al. 2016,
"Benchmarking deep reinforcement learning for continuous control", and rllab: 500 iterations of
50,000 steps, linear baseline.
"""

from __future__ import annotations

from experiments.configs.npg import SMALL

PRESETS = {
  "cpu": {"any": {}, "pendulum": SMALL, "inverted_pendulum": SMALL},
  "paper": {
    "any": {
      "steps": 25_000_000,
      "batch": 50_000,
      "scale_observations": False,
      "policy.hidden": (100, 50, 25),
      "policy.log_std": 0.0,
      "policy.min_log_std": -13.8,
      "policy.max_log_std": 10.0,
      "baseline.kind": "linear",
      "trpo.max_kl": 0.1,
      "trpo.discount": 0.99,
      "trpo.gae_lambda": 1.0,
      "trpo.damping": 1e-5,
      "trpo.cg_iterations": 10,
      "trpo.value_target": "monte_carlo",
    }
  },
}
