"""Presets of the DeMo layer: for each preset and task, what differs from the defaults.

``cpu`` is for two cores: small nets, few particles; ``paper`` is larger. The paper's own values
are not known here.
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
