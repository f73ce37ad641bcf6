"""Presets of the DeMo layer: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores: small networks, few particles; ``paper`` is larger. The values of the
paper itself are unknown.
"""

from __future__ import annotations

from experiments.configs.demorl import CPU

_SHARED = {name: value for name, value in CPU.items() if not name.startswith("agent.")}

PRESETS = {
  "cpu": {
    "any": {**_SHARED, "steps": 20_000},
    "pendulum": {**_SHARED, "steps": 6000},
    "inverted_pendulum": {**_SHARED, "steps": 6000},
  },
  "paper": {"any": {"steps": 100_000}},
}
