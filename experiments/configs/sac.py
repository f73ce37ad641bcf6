"""Presets of SAC: for each preset and task, what differs from the algorithm's defaults.

``cpu`` is for two cores: small nets for small tasks; ``paper`` is the usual setting.
"""

from __future__ import annotations

PRESETS = {
  "cpu": {
    "any": {"steps": 20_000, "agent.hidden": (128, 128)},
    "pendulum": {"steps": 10_000, "agent.hidden": (64, 64), "agent.learning_rate": 1e-3},
    "inverted_pendulum": {
      "steps": 10_000,
      "agent.hidden": (64, 64),
      "agent.learning_rate": 1e-3,
    },
  },
  "paper": {"any": {"steps": 1_000_000, "init_steps": 10_000, "capacity": 1_000_000}},
}
