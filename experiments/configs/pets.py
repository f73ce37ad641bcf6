"""Presets of PETS: overrides of the algorithm's defaults by preset and task.

``cpu`` is for two cores; ``paper`` has the values of the original (Chua et al. 2018, released
code, ``config/``), whose cart-pole values are the defaults. Its optimiser stops at a variance
of 1e-3 in squared units of action; ``planner.epsilon`` is a share of the squared half range, so
tasks with bounds other than +-1 override it.
"""

from __future__ import annotations

EPSILON = {
  "cartpole": {"planner.epsilon": 1e-3 / 3**2},
  "pusher": {"planner.epsilon": 1e-3 / 2**2},
  "reacher7": {"planner.epsilon": 1e-3 / 20**2},
}
"""Values of the original for its tasks with wider bounds."""

PRESETS = {
  "cpu": {
    "any": {
      "trials": 15,
      "model.hidden": (128, 128),
      "model.weight_decay": (1e-5, 2.5e-5, 5e-5),
      "fit.epochs": 50,
      "planner.samples": 150,
      "planner.elites": 15,
      "planner.iterations": 3,
      "planner.horizon": 22,
      "planner.particles": 5,
    },
    **EPSILON,
  },
  "paper": {
    "any": {},
    **EPSILON,
    "cartpole": {
      **EPSILON["cartpole"],
      "trials": 50,
      "model.hidden": (500, 500, 500),
      "model.weight_decay": (1e-4, 2.5e-4, 2.5e-4, 5e-4),
      "planner.samples": 400,
      "planner.elites": 40,
      "planner.iterations": 5,
      "planner.horizon": 25,
      "planner.particles": 20,
    },
  },
}
