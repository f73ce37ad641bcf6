"""Errors name the flag that was typed."""

import pickle

import pytest

from experiments import job, run_settings
from experiments.command_line import config_flags, env_reference
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_error import FlagError, flag_error
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError

ALL_MAY_BE = {
  "fit_until",  # -1: no limit
  "target_entropy",
  "learn_reward",
  "log_predictions",
  "as_released",
  "dataset",
  "epsilon",
  "accept_first",
  "halt_reward",
  *("log_std", "min_log_std", "max_log_std"),  # checked against each other
}
"""Last parts of fields that accept every value of their type, or are checked later."""
OTHER_PLANNERS = {
  "ess_fraction": "mppi",
  "step_size": "mirror_descent",
  "categories": "categorical",
  "learning_rate": "adam",
  "kappa": "pddm",
  "beta": "pddm",
}
"""Fields of PETS' planner that cem, its default, does not have."""


def settings(algo, **fields):
  return run_settings.make_settings(
    algo=algo,
    env="pendulum",
    preset=config_flags.presets(algo)[0],
    physics="auto",
    seed=0,
    seeds=1,
    env_overrides={},
    config_overrides=fields,
  )


def bad_values(kind):
  """Returns a value that is invalid for every field of a type."""
  return {int: "-7", float: "-1.0", str: "nonsense"}.get(kind, "(-1.0, -1.0)")


CASES = [
  (algo, name, bad_values(field.type))
  for algo in list_algorithms()
  for name, field in config_flags.fields(default_config(algo)).items()
  if name.rpartition(".")[2] not in ALL_MAY_BE
]


@pytest.mark.parametrize(("algo", "name", "value"), CASES)
def test_the_error_of_every_field_names_its_flag(algo, name, value):
  group, _, last = name.rpartition(".")
  fields = {name: value}
  if algo in ("dagger", "morel"):
    fields["dataset"] = "there.npz"
  if group == "planner" and last in OTHER_PLANNERS:
    fields["planner.name"] = OTHER_PLANNERS[last]
  if name == "model.inducing_points":
    fields |= {"model.kind": "GP", "model.propagation": "E"}
  if name in ("model.members", "planner.particles"):  # unused by one net
    ensemble = {"model.kind": "DE", "model.propagation": "TSinf", "model.members": "2"}
    fields = {**ensemble, **fields}
  with pytest.raises(FlagError) as caught:
    job.build(settings(algo, **fields))
  assert caught.value.refused.argument == f"--config.{name}"
  assert str(caught.value).startswith(f"--config.{name}")
  assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
  ("algo", "fields", "message"),
  [
    ("sac", {"agent.batch_size": "0"}, "--config.agent.batch_size=0 must be positive."),
    (
      "sac",
      {"agent.hidden": "(64, 0)"},
      "--config.agent.hidden=(64, 0) must be positive.",
    ),
    (
      "mbpo",
      {"world_model.holdout": "2"},
      "--config.world_model.holdout=2.0 must lie between 0.01 and 0.9.",
    ),
    ("loop", {"lookahead.kappa": "-1"}, "--config.lookahead.kappa=-1.0 must be positive."),
    ("pets", {"planner.samples": "0"}, "--config.planner.samples=0 must be positive."),
    ("pets", {"fit.epochs": "0"}, "--config.fit.epochs=0 must be positive."),
    (
      "pets",
      {"model.kind": "PE", "model.members": "1", "model.propagation": "E"},
      "--config.model.members=1 does not fit --config.model.kind='PE', an ensemble of at least "
      "2; the single net is --config.model.kind='P'.",
    ),
    (
      "mbpo",
      {"world_model.members": "1"},
      "--config.world_model.members=1 must be at least 2.",
    ),
    (
      "pets",
      {"planner.samples": "30", "planner.elites": "40"},
      "--config.planner.elites=40 exceed --config.planner.samples=30.",
    ),
    (
      "mbpo",
      {"rollout_batch_size": "1001", "world_model.elites": "5"},
      "--config.rollout_batch_size=1001 must be a multiple of --config.world_model.elites=5: "
      "the start states are split evenly among the elites.",
    ),
    (
      "sac",
      {"capacity": "0", "steps": "100", "agent.batch_size": "256"},
      "--config.steps=100 is smaller than a batch, --config.agent.batch_size=256.",
    ),
    (
      "sac",
      {"capacity": "99", "agent.batch_size": "256"},
      "--config.capacity=99 is smaller than a batch, --config.agent.batch_size=256.",
    ),
    (
      "demorl",
      {"dataset": "there.npz", "real_ratio": "0.5"},
      "--config.dataset='there.npz' needs --config.real_ratio=1, not --config.real_ratio=0.5: "
      "offline training does not plan, so there are no planned transitions.",
    ),
    ("morel", {}, "--config.dataset='' is missing: MOReL learns from recorded transitions, "),
    (
      "dagger",
      {},
      "--config.dataset='' is missing: DAgger starts from episodes of the planner",
    ),
    (
      "pal",
      {"capacity": "99"},
      "--config.capacity=99 is smaller than a batch, --config.world_model.batch_size=200.",
    ),
    (
      "mal",
      {"policy.log_std": "2"},
      "--config.policy.log_std=2.0 must be between --config.policy.min_log_std=-2.5 and "
      "--config.policy.max_log_std=1.0.",
    ),
    (
      "pal",
      {"obs_scale": "(1, 2)"},
      "--config.obs_scale=(1.0, 2.0) has 2 factors for an encoded observation of 3 numbers.",
    ),
    ("mopac", {"rollout_schedule": "(0, 3)"}, "--config.rollout_schedule=(0.0, 3.0) must have"),
    ("sac", {"agent.batch": "3"}, "--config.agent.batch is not known. Did you mean"),
    (
      "sac",
      {"agent.batch_size": "x"},
      "--config.agent.batch_size='x' is not of the right type",
    ),
    ("pets", {"planner.iterations": "99999"}, "--config.planner.iterations=99999 is too large"),
  ],
)
def test_errors_name_flags_for_all_arguments(algo, fields, message):
  with pytest.raises(UsageError) as caught:
    job.build(settings(algo, **fields))
  assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
  ("env", "physics", "overrides", "message"),
  [
    ("stochlite", "auto", {"slope": 20.0}, "--env.slope=20.0 must lie between 5.0 and 13.0."),
    ("hopper", "auto", {"version": 3}, "--env.version=3 is not known. Valid choices: 4, 5."),
    ("hopper", "auto", {"gravity": 3}, "--env.gravity is not known."),
    ("hopper", "auto", {"version": "x"}, "--env.version='x' must be a whole number."),
    ("hopper", "auto", {"action_noise": -1}, "--env.action_noise=-1 must be finite"),
    ("hopper", "mjxx", {}, "--physics='mjxx' is not known."),
    ("hopper", "auto", {"randomise.count": 0}, "--env.randomise.count=0 must be positive."),
    (
      "hopper",
      "auto",
      {"randomise.masses": "(2, 1)"},
      "--env.randomise.masses=[2.0, 1.0] must",
    ),
    ("hoper", "auto", {}, "--env='hoper' is not known. Did you mean 'hopper'?"),
    ("hopper", "auto", {"a": 1, "a.b": 2}, "--env.a.b conflicts with the value of --env.a."),
  ],
)
def test_errors_of_task_arguments_name_their_flags(env, physics, overrides, message):
  with pytest.raises(UsageError) as caught:
    env_reference.make(env, physics, overrides)
  assert str(caught.value).startswith(message)


def test_a_flag_error_can_be_renamed_and_pickled():
  error = flag_error(ArgumentError("physics", "x", "is not known."), "--env.")
  assert str(error) == "--env.physics='x' is not known."
  other = flag_error(error, flags={"--env.physics": "--model_physics"})
  back = pickle.loads(pickle.dumps(other))
  assert str(back) == "--model_physics='x' is not known."
  assert isinstance(back, FlagError)
  assert back.refused.value == "x"


def test_errors_without_an_argument_keep_their_message():
  error = flag_error(ValueError("There is no file 'x'"), "--env.")
  assert str(error) == "There is no file 'x'."
  assert not isinstance(error, FlagError)
  assert str(flag_error(UsageError("No."))) == "No."
  missing = flag_error(ArgumentError("steps", NO_VALUE, "is missing."), "--config.")
  assert str(missing) == "--config.steps is missing."
