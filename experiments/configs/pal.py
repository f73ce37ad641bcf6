"""Presets of PAL: overrides of the algorithm's defaults by preset and task.

``paper`` has the values of the released configs (Rajeswaran et al. 2020) with the discount that
acts in them; those of D'Claw, D'Kitty, pen and peg are not released. ``cpu`` is for two cores.
"""

from __future__ import annotations

from typing import Any

HOPPER = {
  "steps": 106_000,
  "action_repeat": 2,
  "init_steps": 8000,
  "update_every": 2000,
  "obs_scale": (1.0,) * 5 + (0.02,) * 6,
  "policy.log_std": 0.0,
}
"""Velocities are masked by 0.02, actions held for two steps."""

POINT_MASS = {
  "steps": 1400,
  "init_steps": 1000,
  "update_every": 100,
  "policy_steps": 10,
  "paths": 250,
  "world_model.members": 3,
  "world_model.hidden": (256, 256),
  "world_model.weight_decay": 1e-5,
  "world_model.batch_size": 16,
  "policy.hidden": (32, 32),
  "policy.min_log_std": -2.0,
  "npg.cg_iterations": 10,
  "npg.damping": 1e-4,
}

REACHER = {
  "steps": 14_500,
  "init_steps": 2500,
  "update_every": 500,
  "capacity": 20_000,
  "paths": 250,
  "world_model.hidden": (256, 256),
  "world_model.batch_size": 64,
  "world_model.epochs": 20,
  "npg.cg_iterations": 10,
  "npg.damping": 1e-4,
}

LARGER: dict[str, Any] = {
  **REACHER,
  "init_steps": 4000,
  "update_every": 1000,
  "paths": 100,
  "world_model.batch_size": 200,
  "npg.cg_iterations": 25,
  "npg.damping": 1e-3,
}
"""For tasks with contacts, whose configs are not released."""

PAPER: dict[str, dict[str, Any]] = {
  "any": {},
  "hopper": HOPPER,
  "point_mass": POINT_MASS,
  "reacher_7dof": REACHER,
  "peg_insertion": {**LARGER, "steps": 50_000},
  "dclaw_turn": {**LARGER, "steps": 60_000},
  "dkitty_orient": {**LARGER, "steps": 100_000},
  "hand_pen": {**LARGER, "steps": 100_000},
}

SMALLER = {"world_model.hidden": (256, 256), "npg.fisher_samples": 20_000}
"""A quarter of the arithmetic of a fit; Fisher products over a part of the imagined states."""

CPU = {
  **PAPER,
  "hopper": {**HOPPER, **SMALLER, "steps": 72_000, "update_every": 1000, "paths": 100},
}
"""Fits and policy steps of hopper are cheap enough for more of them per environment step."""

PRESETS = {"cpu": CPU, "paper": PAPER}
