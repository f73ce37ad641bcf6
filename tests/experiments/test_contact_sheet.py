"""The contact sheet: its grid, drawing without OpenGL, and tasks that cannot be drawn."""

import jax
import numpy as np
import pytest
from absl import flags
from PIL import Image

from experiments import contact_sheet, random_rollout
from experiments.command_line import cli
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.rendering import video


def call(*arguments, dotted=None):
  values = flags.FlagValues()
  contact_sheet.define(values)
  values(["contact_sheet", *arguments])
  return contact_sheet.main(values, dotted or {"config": {}, "env": {}})


@pytest.fixture
def no_gl(monkeypatch):
  monkeypatch.setattr(video, "gl_backend", lambda: None)


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image.convert("RGB"))


def test_tasks_are_drawn_side_by_side_without_gl(tmp_path, no_gl, capsys):
  out = tmp_path / "new" / "tasks.png"
  envs = ["--env=pendulum", "--env=linear_quadratic", "--env=cartpole"]
  assert call(*envs, "--columns=2", "--width=160", "--steps=2", f"--out={out}") == 0
  assert "3 tasks" in capsys.readouterr().out
  image = pixels(out)
  across, down = 160 + contact_sheet.GAP, 90 + 2 * 10 + contact_sheet.GAP
  assert image.shape == (2 * down + 8, 2 * across + 8, 3)
  tile = lambda row, column: image[8 + row * down :, 8 + column * across :][:90, :160]
  shown = [tile(0, 0), tile(0, 1), tile(1, 0)]
  assert all(len(np.unique(part.reshape(-1, 3), axis=0)) > 3 for part in shown)
  assert (tile(1, 1) == 255).all(), "there is no fourth task"
  beneath = image[8 + 90 : down, 8:across]
  assert (beneath < 128).any(), "there is no name under the first"


def test_a_task_that_cannot_be_created_gets_an_empty_frame(tmp_path, no_gl, capsys):
  (tmp_path / "mine.py").write_text("def make_it():\n  raise ValueError('no such arm')\n")
  out = tmp_path / "tasks.png"
  arguments = ["--env=pendulum", f"--env={tmp_path / 'mine.py'}", "--width=160", "--steps=0"]
  assert call(*arguments, f"--out={out}") == 1
  output = capsys.readouterr().out
  assert "mine.py, line 2: ValueError: no such arm" in output and "2 tasks" in output
  assert out.stat().st_size > 500
  with pytest.raises(
    cli.UsageError, match=r"--env.length: this program takes no such settings"
  ):
    call(dotted={"config": {}, "env": {"length": "1"}})
  with pytest.raises(cli.UsageError, match=r"--env='pendulm' is not known. Did you mean"):
    call("--env=pendulum", "--env=pendulm", f"--out={tmp_path / 'none.png'}")
  assert not (tmp_path / "none.png").exists()


def test_by_default_all_registered_tasks_are_drawn(tmp_path, no_gl, monkeypatch):
  monkeypatch.setattr(contact_sheet, "list_envs", lambda: ["linear_quadratic", "pendulum"])
  assert call("--width=64", "--steps=1", f"--out={tmp_path / 'a.png'}") == 0
  assert pixels(tmp_path / "a.png").shape[1] == 2 * (64 + 8) + 8


def test_the_pose_is_the_last_before_the_termination():
  env = make_env("inverted_pendulum", "mujoco")
  whole = random_rollout.run(env, "random", steps=300)
  assert whole.terminated
  np.testing.assert_array_equal(random_rollout.pose_after(env, 300), whole.poses[-2])
  np.testing.assert_array_equal(random_rollout.pose_after(env, 5), whole.poses[4])
  start = env.pose(env.reset(jax.random.split(jax.random.key(0), 2)[0]))
  np.testing.assert_array_equal(random_rollout.pose_after(env, 0), start)


def test_a_sheet_of_many_pictures_is_small(tmp_path):
  """40 pictures with as many shades as renderings take less than 1.5 MB."""
  wave = np.add.outer(np.arange(203.0), np.arange(360.0))
  shades = np.stack([127 + 120 * np.sin(wave / n) for n in (50, 60, 70)], -1)
  tile = Image.fromarray(np.uint8(shades))
  path = contact_sheet.write(
    tmp_path / "a.png", contact_sheet.sheet([tile] * 40, ["a_name_of_a_task"] * 40, 6)
  )
  assert path.stat().st_size < 1_500_000
