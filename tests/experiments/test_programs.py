"""Programs called from the command line: train, evaluate, render and plot."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
from absl import flags
from PIL import Image
from programs import ROOT, TINY, program

from experiments import random_rollout, render
from experiments.analysis import pictures
from experiments.command_line import cli
from experiments.train import results
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.rendering import video
from mbrl_jax.runtime.storage.run_folder import RunFolder

WRITTEN = [
  "config.json",
  "versions.json",
  "metrics.csv",
  "metrics.jsonl",
  "timing.csv",
  "logs.npz",
  "logs.mat",
  "plots/learning_curve.png",
  "plots/training.png",
  "plots/model_error.png",
  "plots/fan_trial002.png",
  "checkpoints/00000030",
]


def filmed(*arguments, fails=False):
  """Calls ``render`` in this process; returns the message of a ``UsageError``."""
  values, dotted = flags.FlagValues(), {"config": {}, "env": {}}
  render.define(values)
  values(cli.split(["render", *arguments], dotted))
  if not fails:
    assert render.main(values, dotted) == 0
    return None
  with pytest.raises(cli.UsageError) as error:
    render.main(values, dotted)
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Trains a tiny run; returns its folder and output."""
  folder = tmp_path_factory.mktemp("runs") / "tiny"
  output = program("train", *TINY, f"--logdir={folder}", "--config.log_predictions=True")
  return folder, output


def test_train_writes_all_its_files_and_lists_them(run):
  folder, output = run
  for name in WRITTEN:
    assert (folder / name).exists(), name
  assert list((folder / "videos").glob("last_rollout.*"))
  assert list((folder / "tensorboard").iterdir())
  for text in ("compiled the training step in", "trial   2", "steps/s", "results", "--resume"):
    assert text in output, text
  mat = scipy.io.loadmat(folder / "logs.mat")
  shapes = {k: mat[k].shape for k in ("observations", "actions", "rewards", "returns")}
  assert shapes == {
    "observations": (3, 11, 2), "actions": (3, 10, 1), "rewards": (3, 10), "returns": (1, 2),
  }  # fmt: skip
  config = json.loads((folder / "config.json").read_text())
  assert config["config"]["planner"]["samples"] == 10


def test_wrong_usage_ends_with_one_sentence_and_status_two(run):
  folder, _ = run
  before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
  assert "--resume" in program("train", *TINY, f"--logdir={folder}", status=2)
  resume = ["train", f"--logdir={folder}", "--resume"]
  message = program(*resume, "--config.planner.samples=9", status=2)
  assert "config.planner.samples: the run has 10, requested 9" in message
  message = program(*resume, "--config.trials=1", status=2)
  assert "--config.trials=1 is below the 2 of the run" in message
  assert "Did you mean" in program("train", "--sed=3", status=2)
  assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_help_lists_flags_and_config():
  text = program("train", "--help")
  for part in ("--eval_every", "--config.planner.samples", "python -m experiments.train"):
    assert part in text
  assert str(ROOT) not in text


@pytest.mark.slow
def test_a_run_is_resumed_evaluated_rendered_and_plotted(run, tmp_path):
  folder, _ = run
  exact = ["metrics.csv", "metrics.jsonl", "logs.mat", "checkpoints/00000030/manifest.json"]
  before = {name: (folder / name).read_bytes() for name in exact}
  again = program("train", f"--logdir={folder}", "--resume", "--step=20")
  assert "trial   2" in again and "trial   1" not in again
  # The manifest holds a checksum of every leaf of the training state.
  assert before == {name: (folder / name).read_bytes() for name in exact}
  assert "mean" in program("evaluate", f"--run={folder}", "--episodes=2", "--best")
  assert len(json.loads((folder / "evaluation.json").read_text())["returns"]["0"]) == 2
  assert "wrote" in program("render", f"--run={folder}")
  assert "wrote" in program("render", f"--run={folder}", "--rollout=0")
  film = tmp_path / "random.mp4"
  assert "wrote" in program("render", "--env=pendulum", f"--out={film}")
  assert "fan_trial001.png" in program("plot", "--runs", folder)
  out = tmp_path / "both.png"
  program("plot", "--runs", folder, folder, "--group=config.model.kind", f"--out={out}")
  assert out.stat().st_size > 5000
  for name in ("evaluate", "render", "plot"):
    assert "python -m experiments." in program(name, "--help")
    assert "error:" in program(name, status=2)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["--env=hoper"],
      "--env='hoper' is not known. Did you mean 'hopper'? Valid choices: 'hopper'",
    ),
    (["--env=nowhere/mine.py:make_it"], "There is no file 'nowhere/mine.py'"),
    (["--env=pendulum", "--best"], "--best requires --run"),
    (["--env=pendulum", "--run=runs/a"], "--run and --env exclude each other"),
    (["--steps=3", "--run=runs/a"], "--steps requires --env"),
    ([], "Give --run, a run folder, or --env"),
    (["--env=pendulum", "--env.gravity=3"], "--env.gravity is not known"),
  ],
)
def test_wrong_usage_of_render_is_refused_with_one_sentence(arguments, message):
  assert message in filmed(*arguments, fails=True)


@pytest.mark.parametrize("policy", ["random", "zero"])
def test_a_task_is_rendered_without_a_run(policy, tmp_path, monkeypatch):
  monkeypatch.setattr(video, "gl_backend", lambda: None)
  files = [tmp_path / f"{seed}.gif" for seed in (0, 0, 1)]
  for seed, file in zip((0, 0, 1), files, strict=True):
    filmed(
      "--env=pendulum", f"--policy={policy}", f"--seed={seed}", "--steps=4", f"--out={file}"
    )
  with Image.open(files[0]) as image:
    assert image.n_frames == 4
  first, again, other = (file.read_bytes() for file in files)
  assert first == again != other


def test_an_episode_is_cut_at_its_termination(tmp_path):
  env = make_env("inverted_pendulum", "mujoco")
  long = random_rollout.run(env, "zero", steps=300)
  assert long.terminated and len(long.poses) == len(long.rewards) < 300
  short = random_rollout.run(env, "zero", steps=5)
  assert not short.terminated and len(short.poses) == 5
  np.testing.assert_array_equal(short.poses, long.poses[:5])


def test_a_task_that_cannot_be_drawn_is_refused_before_the_episode(monkeypatch):
  monkeypatch.setattr(
    random_rollout, "run", lambda *args, **more: pytest.fail("ran an episode")
  )
  env = f"--env={ROOT / 'tests/support/broken_tasks.py'}:point"
  message = filmed(env, "--steps=5", fails=True)
  reason = "env 'point' has neither a model nor segments to draw."
  assert message == f"Cannot render a video: {reason}"


def test_a_video_of_short_control_steps_plays_in_real_time(tmp_path, monkeypatch):
  filming = []

  def write(path, frames, fps):
    filming.append((len(frames), fps))
    return path

  monkeypatch.setattr(pictures.video, "render", lambda env, poses, **more: poses)
  monkeypatch.setattr(pictures.video, "write_video", write)
  env = make_env("hopper", "mujoco")  # 125 steps a second
  pictures.film(tmp_path / "a.gif", env, np.zeros((1000, 6)), np.zeros(1000), "hopper")
  ((count, fps),) = filming
  assert count / fps == pytest.approx(8.0) and 30 <= fps < 40


@pytest.mark.slow
def test_runs_of_several_seeds_evaluate_and_resume(tmp_path):
  arguments = [*TINY, "--seeds=2", "--eval_every=1", "--novideo"]
  program("train", *arguments, f"--logdir={tmp_path / 'a'}")
  program("train", *arguments, f"--logdir={tmp_path / 'b'}", "--env.action_noise=0.5")
  program("train", f"--logdir={tmp_path / 'a'}", "--resume", "--step=20", "--novideo")
  a, b = ((tmp_path / n / "metrics.csv").read_text() for n in "ab")
  assert a != b and "eval/return" in a and len(a.splitlines()) == 7
  with np.load(tmp_path / "a" / "logs_seed1.npz") as logs:
    assert logs["observations"].shape == (3, 11, 2)


@pytest.mark.parametrize(
  ("mesh", "words"),
  [(None, "--resume"), (SimpleNamespace(shape={"seeds": 2}), "--resume --devices=2")],
)
def test_a_stopped_run_prints_the_command_that_resumes_it(mesh, words, tmp_path, capsys):
  stopped, task = SimpleNamespace(signal=signal.SIGINT, step=9), SimpleNamespace(mesh=mesh)
  results.finish(RunFolder(tmp_path), task, stopped, cli.console(), video=False)
  assert capsys.readouterr().out.splitlines() == [
    "stopped by SIGINT at step 9, saved.",
    f"resume:   python -m experiments.train --logdir={tmp_path} {words}",
  ]
