"""Presets of NPG: overrides of the algorithm's defaults by preset and task.

``cpu`` has shorter runs of small tasks; ``paper`` has the values of mjrl's model-free Hopper:
100 batches of 10,000 steps.
"""

from __future__ import annotations

SMALL = {
  "any": {},
  # Whole episodes, also with 16 environments: shorter batches of episodes that begin together
  # would each see another part of them.
  "pendulum": {"steps": 192_000, "batch": 3200},
  "inverted_pendulum": {"steps": 102_400},
}

PRESETS = {
  "cpu": SMALL,
  "paper": {
    "any": {
      "steps": 1_000_000,
      "batch": 10_000,
      "scale_observations": False,
      "policy.hidden": (32, 32),
      "policy.log_std": -0.5,
      "baseline.hidden": (128, 128),
      "baseline.batch_size": 64,
      "baseline.epochs": 2,
      "npg.step_size": 0.05,
      "npg.discount": 0.995,
      "npg.gae_lambda": 0.97,
      "npg.damping": 1e-4,
      "npg.cg_iterations": 10,
      "npg.value_target": "monte_carlo",
    }
  },
}
