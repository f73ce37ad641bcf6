"""Randomised physics on the command line, in a run's settings and on resuming."""

import json

import pytest

from experiments import job, run_settings
from experiments.command_line import config_flags
from experiments.command_line.cli import UsageError
from mbrl_jax.runtime.storage.run_folder import flat

FLAGS = {
  "randomise.masses": "0.5,1.5",
  "randomise.count": "4",
  "action_noise": "0.1",
}


def settings(overrides):
  return run_settings.make_settings(
    algo="pets",
    env="cartpole",
    preset="cpu",
    physics="auto",
    seed=0,
    seeds=1,
    env_overrides=overrides,
    config_overrides={},
  )


def test_dotted_flags_are_nested_and_build_the_task():
  made = settings(FLAGS)
  assert made["env_overrides"] == {
    "randomise": {"masses": (0.5, 1.5), "count": 4},
    "action_noise": 0.1,
  }
  stored = json.loads(json.dumps(made))
  assert job.build(stored).env.env.physics.variants == 4
  resumed = config_flags.nested({**flat(stored["env_overrides"]), "randomise.count": "5"})
  assert job.build(settings(resumed)).env.env.physics.variants == 5


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"randomise.mases": "1,2"}, r"--env.randomise.mases is not known. Did you mean 'masses'"),
    (
      {"randomise": "3", "randomise.masses": "1,2"},
      "conflicts with the value of --env.randomise",
    ),
    ({"randomise.masses": "2,1"}, r"masses=\[2.0, 1.0\] must be factors"),
    ({"randomise.count": "4"}, "no range was given"),
  ],
)
def test_invalid_ranges_are_refused(overrides, message):
  with pytest.raises(UsageError, match=message):
    job.build(settings(overrides))
