"""Wrong flags of a stage are refused before any stage starts."""

from __future__ import annotations

import pytest
import standins
from absl import flags

from experiments.command_line.cli import UsageError
from experiments.mbmf import __main__ as mbmf
from experiments.mbmf import check
from experiments.mbmf.agents import AGENTS
from experiments.mbmf.stages import FOLLOWING, STAGES


@pytest.mark.parametrize("agent", AGENTS)
def test_the_commands_of_all_stages_are_accepted(agent, tmp_path):
  for stage in STAGES:
    check.check(stage, standins.request(tmp_path, agent))
  for path in AGENTS[agent].follow.paths if AGENTS[agent].follow else ():
    for stage in FOLLOWING:
      check.check(stage, standins.request(tmp_path, agent, path))


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      "hybrid:config.stepz=3",
      "stage hybrid: --config.stepz is not known. Did you mean 'steps'",
    ),
    ("hybrid:keap=3", "stage hybrid: Unknown flag --keap. Did you mean --keep?"),
    ("model_free:preset=papr", "stage model_free: --preset='papr' is not known"),
    ("imitation:config.epochs=few", "--config.epochs='few' is not of the right type"),
    ("imitation:config.planner.elites=3", "elites is no setting of random_shooting"),
    ("rollouts:strict=perhaps", "stage rollouts: --strict=perhaps: expected true or false"),
    ("rollouts:env.reset=data", "stage rollouts: --env.reset: the settings of a run cannot"),
    ("random:config.steps=3", "stage random: --config.steps: the settings of a run cannot"),
  ],
)
def test_a_wrong_flag_is_refused_before_the_first_stage(text, message, tmp_path):
  values = flags.FlagValues()
  mbmf.define(values)
  values(["mbmf", "--agent=swimmer", f"--set={text}", f"--out={tmp_path / 'x'}"])
  with pytest.raises(UsageError) as error:
    mbmf.main(values, {"config": {}, "env": {}})
  assert message in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "x").exists()
