"""Configs: presets, parsed overrides and error messages."""

from __future__ import annotations

import dataclasses
import json
from math import inf

import pytest

from experiments import job, run_settings
from experiments.command_line import cli, config_flags
from experiments.train import options
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.envs.registry import list_envs
from mbrl_jax.planners import SEARCHES
from mbrl_jax.planners.search_arguments import settings_of
from mbrl_jax.runtime.storage.run_folder import flat


@dataclasses.dataclass(frozen=True)
class Inner:
  """Inner part.

  Attributes:
    kind: which one,
      told on two lines.
    sizes: widths.
  """

  kind: str = "PE"
  sizes: tuple[int, ...] = (3, 4)


@dataclasses.dataclass(frozen=True)
class Outer:
  """Outer part.

  Attributes:
    rate, limit: two floats.
    on: a switch.
  """

  rate: float = 0.1
  limit: float | None = None
  on: bool = False
  count: int = 1
  inner: Inner = dataclasses.field(default_factory=Inner)


@pytest.mark.parametrize(
  ("name", "text", "value"),
  [
    ("rate", "2", 2.0),
    ("rate", "1e-4", 1e-4),
    ("rate", "1/64", 1 / 64),
    ("limit", "0.5", 0.5),
    ("limit", "none", None),
    ("on", "true", True),
    ("on", "0", False),
    ("count", "7", 7),
    ("inner.kind", "TS1", "TS1"),
    ("inner.kind", "5", "5"),
    ("inner.sizes", "(5,)", (5,)),
    ("inner.sizes", "5", (5,)),
    ("inner.sizes", "[1, 2, 3]", (1, 2, 3)),
  ],
)
def test_strings_are_parsed_to_the_type_of_their_field(name, text, value):
  changed = config_flags.fields(config_flags.override(Outer(), {name: text}))[name].default
  assert changed == value and type(changed) is type(value)


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("rate", "x"), ("rate", "1/0"), ("rate", "1/x"), ("on", "2"), ("count", "1.5"),
    ("count", "4/2"), ("count", "True"), ("inner.sizes", "(1.5,)"),
  ],
)  # fmt: skip
def test_values_of_wrong_types_are_refused(name, text):
  with pytest.raises(ValueError, match=rf"^{name}='.*' is not of the right type"):
    config_flags.override(Outer(), {name: text})


def test_the_error_of_an_unknown_field_suggests_the_nearest():
  with pytest.raises(ValueError, match=r"Did you mean 'inner\.kind'"):
    config_flags.override(Outer(), {"inner.kin": "x"})


def test_help_is_read_from_docstrings():
  found = config_flags.fields(Outer())
  assert found["inner.kind"].help == "which one, told on two lines."
  assert found["rate"].help == found["limit"].help == "two floats."


def test_configs_survive_json():
  config = config_flags.override(Outer(), {"inner.sizes": "(9, 9)", "limit": "2"})
  back = config_flags.from_dict(Outer(), json.loads(json.dumps(config_flags.to_dict(config))))
  assert back == config and hash(back) == hash(config)


@pytest.mark.parametrize("preset", config_flags.presets("pets"))
@pytest.mark.parametrize("env", list_envs())
def test_every_preset_builds_every_task(preset, env):
  settings = settings_of_run(preset=preset, env=env)
  assert job.build(json.loads(json.dumps(settings))).algorithm.act


@pytest.mark.parametrize("env", ["swimmer", "halfcheetah_mbmf", "hopper_mbmf", "ant_mbmf"])
@pytest.mark.parametrize("algo", ["dagger", "trpo"])
def test_presets_of_mbmf_divide_into_whole_episodes(algo, env):
  """And DAgger's policy is one from which TRPO goes on."""
  length = 333 if env == "swimmer" else 1000
  for preset in config_flags.presets(algo):
    config = config_flags.override(
      default_config(algo), config_flags.preset_values(algo, preset, env)
    )
    chunk = config.update_every if algo == "dagger" else config.batch
    assert config.steps % chunk == chunk % length == 0
    assert config.policy.hidden == (64, 64)
    assert -13.8 <= config.policy.log_std <= 10 and (
      algo == "dagger" or not config.scale_observations
    )


@pytest.mark.parametrize("algo", list_algorithms())
def test_every_field_has_a_help_text(algo):
  unexplained = [n for n, f in config_flags.fields(default_config(algo)).items() if not f.help]
  assert not unexplained


@pytest.mark.parametrize("planner", SEARCHES)
def test_every_field_of_a_planner_has_a_help_text(planner):
  config = config_flags.override(default_config("pets"), {"planner.name": planner})
  known = config_flags.fields(config)
  assert all(field.help for field in known.values())
  assert planner in known["planner.name"].help
  shown = options.more_help(["train", "--help", f"--config.planner.name={planner}"])
  for name, setting in settings_of(SEARCHES[planner]).items():
    assert f"--config.planner.{name}: {setting.help}\n" in shown


def test_another_planner_drops_settings_of_the_preset_that_it_does_not_have():
  planner = lambda **changed: settings_of_run(**changed)["config"]["planner"]
  standard = planner(env="cartpole")
  assert (standard["samples"], standard["elites"], standard["epsilon"]) == (150, 15, 1e-3 / 9)
  overrides = {"planner.temperature": "0.3", "planner.name": "mppi"}
  mppi = planner(env="cartpole", config_overrides=overrides)
  assert mppi == {
    "name": "mppi",
    "iterations": 3,
    "horizon": 22,
    "particles": 5,
    "replan_every": 1,
    "samples": 150,
    "temperature": 0.3,
    "ess_fraction": 0.0,
    "noise_scale": 0.5,
    "control_cost": 0.0,
    "noise_exponent": 0.0,
  }
  icem = planner(config_overrides={"planner.name": "icem", "planner.sample_decay": "1.5"})
  assert (icem["samples"], icem["elites"], icem["sample_decay"]) == (150, 15, 1.5)


def test_a_stored_config_has_every_setting_and_builds_the_same_config():
  changed = {"planner.name": "pddm", "planner.as_released": "true"}
  settings = json.loads(json.dumps(settings_of_run(config_overrides=changed)))
  stored = settings["config"]["planner"]
  assert set(settings_of(SEARCHES["pddm"])) < set(stored) and stored["as_released"] is True
  config = config_flags.from_dict(default_config("pets"), settings["config"])
  assert config_flags.to_dict(config) == settings_of_run(config_overrides=changed)["config"]
  assert set(config.planner.settings) == set(settings_of(SEARCHES["pddm"]))
  stored.pop("kappa")
  with pytest.raises(cli.UsageError, match=r"--config\.planner\.kappa is missing"):
    job.build(settings)
  stored |= {"kappa": 10.0, "elites": 3}
  with pytest.raises(cli.UsageError, match=r"--config\.planner\.elites is no setting of p"):
    job.build(settings)


def test_a_config_of_an_earlier_version_means_what_it_meant():
  stored = flat(settings_of_run()["config"])
  assert stored.pop("model.normalize_targets") is False
  assert config_flags.from_dict(default_config("pets"), stored).model.normalize_targets is False


def test_settings_of_a_resumed_run_accept_another_planner():
  stored = flat(settings_of_run()["config"])
  again = settings_of_run(stored=stored, config_overrides={"planner.name": "mppi"})
  assert again["config"]["planner"]["name"] == "mppi"
  assert settings_of_run(stored=stored) == settings_of_run()


def settings_of_run(**changed):
  standard = {
    "algo": "pets",
    "env": "pendulum",
    "preset": "cpu",
    "physics": "auto",
    "seed": 0,
    "seeds": 1,
    "env_overrides": {},
    "config_overrides": {},
  }
  return run_settings.make_settings(**{**standard, **changed})


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"algo": "petz"}, r"--algo='petz'[\s\S]*'pets'"),
    ({"env": "cartpol"}, r"--env='cartpol'[\s\S]*Did you mean 'cartpole'"),
    ({"preset": "papr"}, r"--preset='papr'[\s\S]*Did you mean 'paper'"),
    ({"config_overrides": {"model.kid": "PE"}}, r"--config\.model\.kid is not known"),
    ({"config_overrides": {"model.kind": "PX"}}, r"kind='PX'[\s\S]*Valid choices"),
    ({"config_overrides": {"model.propagation": "TS9"}}, r"'TS9'[\s\S]*'TSinf'"),
    ({"config_overrides": {"planner.name": "cm"}}, r"'cm'[\s\S]*'cem'"),
    ({"config_overrides": {"planner.particles": "7"}}, r"particles=7"),
    (
      {"config_overrides": {"planner.elites": "9", "planner.name": "mppi"}},
      r"^--config\.planner\.elites is no setting of mppi.*: it has samples, .*_exponent, ",
    ),
    ({"config_overrides": {"planner.horizn": "9"}}, r"of cem \(did you mean horizon\?\)"),
    (
      {"config_overrides": {"planner.alpha": "x"}},
      r"--config\.planner\.alpha='x' is not of the",
    ),
    ({"config_overrides": {"model.kind": "P"}}, r"TSinf"),
    ({"env_overrides": {"gravity": "1"}}, r"--env\.gravity is not known"),
    ({"physics": "bullet"}, r"physics='bullet'"),
    ({"seeds": 0}, r"seeds=0 must be positive"),
  ],
)
def test_errors_give_the_value_and_the_valid_ones(changed, message):
  with pytest.raises(cli.UsageError, match=message):
    job.build(settings_of_run(**changed))


def test_chunks_divide_the_episode():
  for length, chunk in [(200, 25), (150, 25), (333, 9), (7, 7), (101, 1)]:
    task = job.build(settings_of_run(env_overrides={"episode_length": str(length)}))
    assert task.chunk == chunk
    assert task.total_steps == length * (task.config.trials + task.config.init_trials)


def test_several_seeds_take_one_step_at_a_time_where_episodes_may_end_early():
  small = {"env_overrides": {"episode_length": "200"}}
  assert job.build(settings_of_run(env="hopper", **small)).chunk == 25
  assert job.build(settings_of_run(env="hopper", seeds=2, **small)).chunk == 1
  assert job.build(settings_of_run(seeds=2, **small)).chunk == 25
  noisy = {"env_overrides": {"episode_length": "200", "action_noise": "0.1"}}
  assert job.build(settings_of_run(seeds=2, **noisy)).chunk == 25
  assert job.build(settings_of_run(eval_steps=60, **small)).chunk == 20
  assert job.build(settings_of_run(env="hopper", eval_steps=60, **small)).chunk == 1


def ends(task, start=0):
  """Returns the steps at which each compiled call ends."""
  return [segment.until for segment in task.segments(start)]


def test_evaluations_inside_a_compiled_call_are_refused():
  config = {"steps": "1100", "update_every": "250"}

  def build(**changed):
    return job.build(settings_of_run(algo="mbpo", config_overrides=config, **changed))

  job.check_evaluations(build())  # a twentieth of the run, rounded up to whole calls
  assert build().settings["eval_steps"] == 250
  for every in (250, 500, 1100, 2000):
    job.check_evaluations(build(eval_steps=every))
  message = r"--eval_steps=100 must be a multiple of 250, the steps of one compiled call"
  with pytest.raises(cli.UsageError, match=message):
    job.check_evaluations(build(eval_steps=100))
  assert ends(build()) == [1000, 1100]
  assert ends(job.build(settings_of_run())) == ends(job.build(settings_of_run()), 201) == [inf]


def test_an_extended_run_takes_its_steps_exactly():
  """Its calls start at the end of the first part, not at a multiple of their length."""
  config = {"steps": "2000", "update_every": "250"}
  task = job.build(settings_of_run(algo="mbpo", config_overrides=config))
  assert ends(task) == ends(task, 1000) == [2000] and ends(task, 1100) == [1850, 2000]


def test_dotted_flags_are_split_from_the_others():
  dotted = {"config": {}, "env": {}}
  argv = ["p", "--env=cartpole", "--config.a.b=1=2", "--env.action_noise", "0.1", "--resume"]
  assert cli.split(argv, dotted) == ["p", "--env=cartpole", "--resume"]
  assert dotted == {"config": {"a.b": "1=2"}, "env": {"action_noise": "0.1"}}


def test_a_repeated_flag_takes_the_following_words():
  argv = ["p", "--runs", "a", "b", "--out=x", "--runs=c", "d"]
  assert cli._repeat(argv, "runs") == [
    "p", "--runs=a", "--runs=b", "--out=x", "--runs=c", "d",
  ]  # fmt: skip
