"""Presets of LOOP: for each preset and task, what differs from the algorithm's defaults.

``cpu`` is for two cores: small nets, few particles; ``paper`` holds the values of the released
program, which are the same for all tasks.
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
