"""Presets of LOOP: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores: small networks, few particles; ``paper`` has the values of the
released code, which are the same for all tasks.
"""

from __future__ import annotations

from experiments.configs.demorl import CPU

PRESETS = {
  "cpu": {
    "any": {**CPU, "steps": 20_000},
    "pendulum": {**CPU, "steps": 4000},
    "inverted_pendulum": {**CPU, "steps": 4000},
  },
  "paper": {"any": {"steps": 1_000_000}},
}
