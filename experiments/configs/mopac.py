"""Presets of MoPAC: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores: small networks, few rollouts and samples; ``paper`` has the values of
the released code (Morgan et al. 2021, ``examples/config``), whose Hopper has the defaults.
"""

from __future__ import annotations

from experiments.configs.mbpo import LARGER, SMALL

_CPU = {
  **SMALL,
  "rollout_batch_size": 300,
  "samples": 16,
  "rollout_schedule": (0, 500, 3, 3),
  "real_ratio_schedule": (0, 500, 0.5, 0.5),
  "fit_until": -1,
}

PRESETS = {
  "cpu": {
    "any": {**_CPU, **LARGER},
    # Unlike MBPO, MoPAC stays stable with early and frequent updates: plans are refined.
    "pendulum": {**_CPU, "steps": 2000, "init_steps": 200, "agent.updates_per_step": 20},
    "inverted_pendulum": {**_CPU, "steps": 4000},
  },
  "paper": {
    "any": {"steps": 200_000},
    "hopper": {"steps": 100_000},
    "halfcheetah": {"real_ratio_schedule": (0, 70, 0.2, 0.8), "agent.updates_per_step": 40},
    "humanoid": {
      "rollout_schedule": (0, 80, 5, 15),
      "real_ratio_schedule": (0, 80, 0.95, 0.05),
      "update_every": 1000,
      "fit_until": -1,
      "retain_epochs": 5,
      "world_model.hidden": (400, 400, 400, 400),
    },
    "inverted_pendulum": {
      "steps": 20_000,
      "epoch_length": 250,
      "real_ratio_schedule": (0, 70, 0.05, 0.05),
      "agent.updates_per_step": 10,
    },
  },
}
