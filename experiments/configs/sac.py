"""Presets of SAC: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores: small networks for small tasks; ``paper`` has the usual values.
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
