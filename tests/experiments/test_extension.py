"""An extended run equals one that was longer from the start."""

import json
import subprocess
import sys

import pytest

from mbrl_jax.runtime.storage.csv_log import read_table

PETS = (
  "--algo=pets --env=cartpole --env.episode_length=30 --eval_every=1 --config.model.members=2 "
  "--config.model.hidden=(16,) --config.model.weight_decay=(1e-5,) --config.planner.samples=16 "
  "--config.planner.elites=4 --config.planner.horizon=5 --config.planner.particles=4"
)
MBPO = (
  "--algo=mbpo --env=pendulum --env.episode_length=40 --envs=2 --eval_steps=40 "
  "--eval_episodes=2 --config.init_steps=40 --config.update_every=40 --config.epoch_length=40 "
  "--config.rollout_batch_size=10 --config.world_model.members=3 --config.world_model.elites=2 "
  "--config.world_model.hidden=(16,) --config.world_model.weight_decay=(1e-5,) "
  "--config.world_model.epochs=3 "
  "--config.agent.hidden=(16,) --config.agent.batch_size=16 --config.agent.updates_per_step=1"
)


def train(folder, *words):
  command = [sys.executable, "-m", "experiments.train", "--video=false", f"--logdir={folder}"]
  return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def done(folder, *words):
  ended = train(folder, *words)
  assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-3000:]


@pytest.mark.optimised
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
  ("flags", "length", "short", "long"), [(PETS, "trials", 2, 4), (MBPO, "steps", 160, 400)]
)
def test_an_extended_run_equals_a_longer_one(tmp_path, flags, length, short, long):
  field, words = f"--config.{length}", flags.split()
  done(tmp_path / "whole", *words, f"{field}={long}")
  done(tmp_path / "parts", *words, f"{field}={short}")
  first = (tmp_path / "parts" / "metrics.csv").read_bytes()
  assert (tmp_path / "whole" / "metrics.csv").read_bytes().startswith(first)
  done(tmp_path / "parts", "--resume", f"{field}={long}")
  for name in ("metrics.csv", "evaluations.csv"):
    whole, parts = (tmp_path / run / name for run in ("whole", "parts"))
    if whole.exists():
      assert parts.read_bytes() == whole.read_bytes(), name
  manifests = [max((tmp_path / r / "checkpoints").glob("0*")) for r in ("whole", "parts")]
  whole, parts = (json.loads((m / "manifest.json").read_text())["leaves"] for m in manifests)
  assert whole == parts, "the states differ"
  refused = train(tmp_path / "parts", "--resume", f"{field}={short}")
  assert refused.returncode == 2 and f"{field}={short} is below the {long}" in refused.stderr
  assert len(read_table(tmp_path / "parts" / "metrics.csv")) > 2
