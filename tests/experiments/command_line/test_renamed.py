"""Errors about fields of version 0.1 give their new names."""

import json

import pytest

import mbrl_jax
from experiments import job, run_settings
from experiments.command_line import config_flags, renamed
from experiments.command_line.cli import UsageError
from experiments.plan.setup import make_keywords
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.runtime.storage import run_folder

ENV = {"env": "pendulum", "physics": "auto", "seed": 0, "seeds": 1, "env_overrides": {}}


def settings(algo, **overrides):
  return run_settings.make_settings(algo=algo, preset="cpu", config_overrides=overrides, **ENV)


def every_field():
  found = set()
  for algo in list_algorithms():
    found |= set(config_flags.fields(default_config(algo)))
  for planner in ("cem", "icem", "mppi"):
    config = config_flags.override(default_config("pets"), {"planner.name": planner})
    found |= set(config_flags.fields(config))
  return found


def test_new_names_are_fields_and_old_names_are_not():
  fields = every_field()
  assert len(renamed.NAMES) == 15
  for old, new in renamed.NAMES.items():
    assert any(name == new or name.startswith(f"{new}.") for name in fields), new
    assert not any(name == old or name.startswith(f"{old}.") for name in fields), old


@pytest.mark.parametrize(
  ("algo", "old", "new"),
  [
    ("mopac", "copies", "samples"),
    ("mbpo", "world.members", "world_model.members"),
    ("loop", "ratio", "real_ratio"),
    ("pets", "model.inducing", "model.inducing_points"),
  ],
)
def test_the_error_of_an_old_flag_gives_its_new_name(algo, old, new):
  with pytest.raises(
    UsageError, match=rf"--config\.{old} was renamed to {new} in version 0\.2\."
  ):
    settings(algo, **{old: "3"})


def test_the_error_of_an_old_run_gives_its_version_and_its_fields():
  stored = settings("mbpo")
  stored["config"]["world"] = stored["config"].pop("world_model")
  stored["config"]["rollouts"] = stored["config"].pop("rollout_batch_size")
  with pytest.raises(UsageError) as error:
    run_settings.config_of(stored)
  assert "is of mbrl_jax 0.1, whose fields rollouts (now rollout_batch_size)" in str(
    error.value
  )
  assert str(error.value).count("world (now world_model)") == 1


def test_a_run_of_version_0_1_is_refused_whatever_its_fields(tmp_path):
  folder = run_folder.create(tmp_path / "run", settings("sac"))
  job.check_version(folder)
  path = folder.path / "versions.json"
  found = json.loads(path.read_text())
  assert found["packages"]["mbrl-jax"] == mbrl_jax.__version__
  found["packages"]["mbrl-jax"] = "0.1.0"
  path.write_text(json.dumps(found))
  with pytest.raises(UsageError, match=r"config\.json: the run is of mbrl_jax 0\.1\.0, whose"):
    job.build_run(folder)
  path.unlink()
  job.check_version(folder)


def test_the_error_of_an_old_planner_setting_gives_its_new_name():
  with pytest.raises(UsageError, match=r"planner\.noise_scale"):
    settings("pets", **{"planner.name": "mppi", "planner.spread": "0.3"})


def test_an_old_setting_of_experiments_plan_gives_its_new_name():
  with pytest.raises(ValueError, match=r"--set spread was renamed to noise_scale in version"):
    make_keywords("mppi", {"spread": "0.3"})
