"""Presets of PETS: for each preset and task, what differs from the algorithm's defaults.

``cpu`` is for two cores; ``paper`` is what the original program uses (Chua et al. 2018,
released code, ``config/``), its cart-pole values being the defaults.
"""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from experiments import configuration
from mbrl_jax.algorithms import default_config

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
  },
  "paper": {
    "any": {},
    "cartpole": {
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


def get_config(names: str = "cartpole,cpu") -> ConfigDict:
  """Returns the config of ``"task,preset"`` as other launchers want it."""
  env, preset = names.split(",")
  values = configuration.preset_values("pets", preset, env)
  config = configuration.override(default_config("pets"), values)
  return ConfigDict(dataclasses.asdict(config))
