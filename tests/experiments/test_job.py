"""Runs built from an edited ``config.json``."""

from __future__ import annotations

import json

import pytest

from experiments import job, run_settings
from experiments.command_line.cli import UsageError
from mbrl_jax.runtime.storage.run_folder import RunFolder, RunFolderError, flat

SETTINGS = {
  "algo": "sac",
  "env": "linear_quadratic",
  "preset": "cpu",
  "physics": "auto",
  "seed": 0,
  "seeds": 1,
  "env_overrides": {"episode_length": 10},
  "config_overrides": {},
}


def built(folder, change):
  settings = json.loads(json.dumps(run_settings.make_settings(**SETTINGS)))
  change(settings)
  (folder / "config.json").write_text(json.dumps(settings))
  return job.build_run(RunFolder(folder))


def put(name, value):
  """Sets a dotted field; ``...`` removes it."""

  def change(settings):
    *heads, last = name.split(".")
    for head in heads:
      settings = settings[head]
    if value is ...:
      del settings[last]
    else:
      settings[last] = value

  return change


def test_an_unchanged_config_builds(tmp_path):
  assert built(tmp_path, lambda settings: None).total_steps == 20_000


INFINITE = float("inf")
BAD = [
  ("config.agent.learning_rate", -1e-3), ("config.agent.learning_rate", INFINITE),
  ("config.agent.learning_rate", float("nan")), ("config.agent.learning_rate", "3e-4"),
  ("config.agent.learning_rate", None), ("config.agent.learning_rate", True),
  ("config.agent.learning_rate", [3e-4]), ("config.agent.learning_rate", ...),
  ("config.agent.target_entropy", INFINITE), ("config.agent.target_entropy", "none"),
  ("config.agent.hidden", 8), ("config.agent.hidden", [8.5]), ("config.agent.hidden", [-8]),
  ("config.agent.hidden", {"a": 1}), ("config.agent.batch_size", 0),
  ("config.agent.batch_size", 10**40), ("config.agent.precision", "float8"),
  ("config.agent.taus", 0.1), ("config.agent", 3), ("config.agent", ...),
  ("config.steps", "100"), ("config.steps", 2**31), ("config.steps", -1), ("config", {}),
  ("config", None), ("algo", "sak"), ("algo", 3), ("algo", ...), ("env", "pendlum"),
  ("env", ...), ("physics", "bullet"), ("physics", 1), ("seed", -1), ("seed", 2**32),
  ("seed", 0.5), ("seed", ...), ("seeds", 0), ("seeds", "2"), ("env_overrides", []),
  ("env_overrides", {"episode_length": -5}), ("env_overrides", {"gravity": 1}),
  ("env_overrides", ...),
]  # fmt: skip


def test_the_error_of_an_invalid_field_names_file_and_field(tmp_path):
  for name, value in BAD:
    with pytest.raises((UsageError, RunFolderError)) as error:
      built(tmp_path, put(name, value))
    message, last = str(error.value), name.rpartition(".")[2]
    assert str(tmp_path / "config.json") in message and "\n" not in message, (name, value)
    known = {*flat({name: value}), last, name, "episode_length", "gravity", "agent", "steps"}
    assert any(word.rpartition(".")[2] in message for word in known), (name, value, message)


def test_seeds_out_of_range_are_refused():
  run_settings.make_settings(**{**SETTINGS, "seed": 2**32 - 2, "seeds": 2})
  for seed, seeds in ((2**32, 1), (2**32 - 1, 2), (2**63, 1), (-1, 1)):
    with pytest.raises(UsageError, match=rf"--seed={seed},? .*a whole number"):
      run_settings.make_settings(**{**SETTINGS, "seed": seed, "seeds": seeds})
