"""Float hyper-parameters are data: changing one never recompiles."""

from __future__ import annotations

import jax
import pytest

from experiments.command_line import config_flags
from mbrl_jax.algorithms import default_config, init_state, make_algorithm, make_step
from mbrl_jax.envs import make_env
from mbrl_jax.planners import SEARCHES

SIZES = {
  "world_model.holdout",
  "planner.keep_fraction",
  "planner.sample_decay",
  "agent.updates_per_step",
}
"""Floats that determine array sizes or loop lengths."""
CONSTANTS = {"pal": {"world_model.weight_decay"}, "morel": {"world_model.weight_decay"}}
"""Like the weight decay of all ensembles."""
GAME = {
  "world_model.weight_decay": 1e-4,
  "world_model.batch_size": 8,
  "policy.hidden": (8,),
  "baseline.hidden": (8,),
  "capacity": 20,
  "paths": 4,
  "policy_steps": 2,
}
SMALL = {
  "update_every": 5,
  "batch": 5,
  "policy.hidden": (8,),
  "baseline.hidden": (8,),
  "rollout_batch_size": 10,
  "agent.hidden": (8,),
  "agent.batch_size": 8,
  "world_model.hidden": (8,),
  "model.hidden": (8,),
  "world_model.weight_decay": (1e-4,),
  "model.weight_decay": (1e-4,),
  "real_ratio": 0.5,
  "samples": 4,
  "lookahead.samples": 10,
  "lookahead.elites": 4,
  "planner.samples": 20,
  "planner.elites": 4,
}
SLOW = (
  *("demo_layer", "mbmf", "trpo", "dagger", "mbpo"),
  *("mopac", "demorl", "loop", "morel", "pal"),
)
ENV = make_env("pendulum", episode_length=10)


def program(algo, config):
  """Returns the lowered training step as text, with its constants."""
  algorithm = make_algorithm(algo, ENV.spec, config)
  state = jax.eval_shape(lambda key: init_state(algorithm, ENV, key), jax.random.key(0))
  return make_step(algorithm, ENV, steps=5).lower(state).as_text()


def changed(config, constants=()):
  """Changes every float that is not a size or constant; also returns their names."""
  fields, others = config_flags.fields(config), {*SIZES, *constants}
  names = [name for name, field in fields.items() if field.type is float and name not in others]
  values = {name: 0.9 * fields[name].default or 0.1 for name in names}
  return config_flags.override(config, values), names


def small(algo, **more):
  config = default_config(algo)
  if "planner.name" in more:
    config = config_flags.override(config, {"planner.name": more.pop("planner.name")})
  known = config_flags.fields(config)
  return config_flags.override(
    config, {k: v for k, v in {**SMALL, **more}.items() if k in known}
  )


@pytest.mark.parametrize(
  "algo",
  ["sac", "npg", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def test_config_floats_are_no_constants_of_the_program(algo):
  more = {
    "morel": {**GAME, "dataset": "there.npz"},
    "pal": GAME,
    "dagger": {"dataset": "there.npz", "planner.name": "mppi", "policy.log_std": -0.5},
  }.get(algo, {})
  config = small(algo, **more)
  other, names = changed(config, CONSTANTS.get(algo, ()))
  known = {"agent.discount", "step_size", "npg.discount", "trpo.discount", "action_noise"}
  assert known & {*names}
  assert program(algo, config) == program(algo, other)


@pytest.mark.parametrize(
  "name",
  [
    name if name in ("cem", "mppi") else pytest.param(name, marks=pytest.mark.slow)
    for name in SEARCHES
  ],
)
def test_planner_floats_are_no_constants_of_pets(name):
  config = small("pets", **{"planner.name": name})
  other, names = changed(config)
  assert "fit.learning_rate" in names
  if name != "random_shooting":  # has none
    assert any(n.startswith("planner.") for n in names)
  assert program("pets", config) == program("pets", other)


@pytest.mark.parametrize(
  ("algo", "changes"),
  [("mbpo", {"world_model.holdout": 0.3}), ("sac", {"agent.updates_per_step": 0.5})],
)
def test_changed_sizes_change_the_program(algo, changes):
  config = small(algo)
  other = config_flags.override(config, changes)
  assert program(algo, config) != program(algo, other)
