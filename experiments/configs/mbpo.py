"""Presets of MBPO: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores: small networks, few rollouts, few gradient steps; ``paper`` has the
values of the original (Janner et al. 2019, released code, ``examples/config``).
"""

from __future__ import annotations

SMALL = {
  "init_steps": 500,
  "update_every": 50,
  "rollout_batch_size": 1000,
  "agent.hidden": (64, 64),
  "agent.updates_per_step": 10,
  "agent.learning_rate": 1e-3,
  "world_model.hidden": (64, 64),
  "world_model.weight_decay": (5e-5,),
  # Small batches give enough gradient steps per epoch with few transitions.
  "world_model.batch_size": 32,
  "world_model.patience": 10,
}
"""Trains within minutes on two cores, for tasks with few dimensions."""

LARGER = {
  "steps": 20_000,
  "update_every": 250,
  "agent.hidden": (128, 128),
  "world_model.hidden": (128, 128),
  "world_model.batch_size": 128,
  "world_model.patience": 5,
}
"""Overrides of ``SMALL`` for other tasks."""

PRESETS = {
  "cpu": {
    "any": {**SMALL, **LARGER},
    "pendulum": {**SMALL, "steps": 4000},
    "inverted_pendulum": {**SMALL, "steps": 4000},
  },
  "paper": {
    "any": {"steps": 300_000},
    "halfcheetah": {
      "steps": 400_000,
      "agent.updates_per_step": 40,
      "agent.target_entropy": -3.0,
    },
    "hopper": {
      "steps": 125_000,
      "rollout_schedule": (20, 150, 1, 15),
      "agent.target_entropy": -1.0,
    },
    "walker2d": {"agent.target_entropy": -3.0},
    "ant": {"rollout_schedule": (20, 100, 1, 25), "agent.target_entropy": -4.0},
    "humanoid": {
      "rollout_schedule": (20, 300, 1, 25),
      "update_every": 1000,
      "retain_epochs": 5,
      "world_model.hidden": (400, 400, 400, 400),
      "agent.target_entropy": -2.0,
    },
    "inverted_pendulum": {
      "steps": 20_000,
      "init_steps": 500,
      "epoch_length": 250,
      "rollout_schedule": (1, 15, 1, 1),
      "agent.updates_per_step": 10,
      "agent.target_entropy": -0.05,
    },
    "inverted_double_pendulum": {
      "steps": 20_000,
      "init_steps": 500,
      "epoch_length": 250,
      "rollout_schedule": (1, 15, 1, 1),
      "agent.target_entropy": -0.5,
    },
  },
}
