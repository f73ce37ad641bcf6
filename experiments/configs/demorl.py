"""Presets of M-DeMoRL: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores: small networks, few particles; ``paper`` has the values of the
released code, which are the same for all tasks.
"""

from __future__ import annotations

CPU = {
  "init_steps": 500,
  "update_every": 125,
  "agent.hidden": (64, 64),
  "agent.updates_per_step": 10,
  "world_model.hidden": (64, 64),
  "world_model.weight_decay": (5e-5,),
  # Small batches give enough gradient steps per epoch with few transitions.
  "world_model.batch_size": 32,
  "world_model.patience": 10,
  "lookahead.samples": 50,
  "lookahead.elites": 10,
  "lookahead.iterations": 3,
  "lookahead.particles": 5,
}
"""Trains within minutes on two cores."""

PRESETS = {
  "cpu": {
    "any": {**CPU, "steps": 20_000},
    "pendulum": {**CPU, "steps": 4000},
    "inverted_pendulum": {**CPU, "steps": 4000},
  },
  "paper": {"any": {"steps": 100_000, "agent.hidden": (32, 32)}},
}
