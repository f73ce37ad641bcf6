"""Commands of the stages, and what they name."""

from __future__ import annotations

import pytest
import standins

from experiments.mbmf import commands
from experiments.mbmf.agents import AGENTS
from experiments.mbmf.stages import STAGES


def flags_of(stage, request):
  """Returns the program and the flags of a stage's command."""
  _, _, program, *words = commands.words(stage, request)
  return program, dict(word[2:].partition("=")[::2] for word in words)


@pytest.mark.parametrize("agent", AGENTS)
def test_random_data_have_the_published_sizes_and_rollouts_to_validate(agent, tmp_path):
  program, flags = flags_of("random", standins.request(tmp_path, agent, seed=7))
  sizes = {
    "swimmer": ("27", "333"),
    "cheetah": ("11", "1000"),
    "hopper": ("22", "200"),
    "ant": ("700", "1000"),
  }
  assert program == "experiments.collect"
  assert (flags["episodes"], flags["env.episode_length"]) == sizes[agent]
  assert flags["env.reset"] == "data" and flags["seed"] == "7"
  assert flags["out"] == str(tmp_path / "seed7" / "random.npz")
  assert flags.get("env.end_on_fall") == ("False" if agent == "hopper" else None)


def test_stages_hand_their_results_on(tmp_path):
  request, folder = standins.request(tmp_path), tmp_path / "seed0"
  found = {stage: flags_of(stage, request) for stage in STAGES}
  for stage, (program, flags) in found.items():
    output = str(folder / STAGES[stage].output)
    assert flags["logdir" if STAGES[stage].is_run else "out"] == output, stage
    assert program == "experiments." + ("train" if STAGES[stage].is_run else "collect")
  name = lambda stage, flag: found[stage][1][flag]
  assert name("model", "config.dataset") == str(folder / "random.npz")
  assert name("rollouts", "run") == name("imitation", "init_policy") == str(folder / "model")
  assert name("imitation", "config.dataset") == str(folder / "rollouts.npz")
  assert name("hybrid", "init_policy") == str(folder / "imitation")
  assert "init_policy" not in found["model_free"][1]
  assert (name("hybrid", "preset"), name("model_free", "preset")) == ("hybrid", "paper")
  assert name("hybrid", "config.steps") == name("model_free", "config.steps")
  algorithms = [name(stage, "algo") for stage in ("model", "imitation", "hybrid", "model_free")]
  assert algorithms == ["mbmf", "dagger", "trpo", "trpo"]


def test_flags_of_a_stage_are_replaced_or_added(tmp_path):
  overrides = {"episodes": "3", "strict": "true"}
  request = standins.request(tmp_path, rollouts=overrides)
  words = commands.words("rollouts", request)
  assert words.count("--episodes=3") == 1 and "--episodes=60" not in words
  assert "--strict=true" in words
  assert "--episodes=27" in commands.words("random", request)
  text = commands.shown(words)
  assert text.startswith("python -m experiments.collect --run=") and "'" not in text


def test_the_imitated_planner_is_that_of_the_model_stage(tmp_path):
  model = {"config.planner.samples": "7", "config.steps": "9", "config.model.hidden": "(8,)"}
  own = {"config.planner.horizon": "3"}
  request = standins.request(tmp_path, "cheetah", model=model, imitation=own)
  _, flags = flags_of("imitation", request)
  assert flags["config.planner.samples"] == "7" and flags["config.model.hidden"] == "(8,)"
  assert flags["config.planner.horizon"] == "3" and "config.steps" not in flags


@pytest.mark.parametrize("agent", [name for name, each in AGENTS.items() if each.follow])
def test_a_path_is_an_argument_of_the_task(agent, tmp_path):
  follow = AGENTS[agent].follow
  for path in follow.paths:
    _, flags = flags_of("model", standins.request(tmp_path, agent, path))
    assert flags["config.steps"] == "1000"
    assert (flags["env"], flags["env.path"], flags["env.reset"]) == (follow.task, path, "mpc")
