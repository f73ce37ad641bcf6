"""Frames and video files, with and without OpenGL."""

import itertools
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from mbrl_jax.envs import make_env
from mbrl_jax.runtime.rendering import video


@pytest.fixture(scope="module")
def cartpole():
  return make_env("cartpole", "mujoco")


@pytest.fixture
def no_gl(monkeypatch):
  monkeypatch.setattr(video, "gl_backend", lambda: None)


def poses(count=6):
  return np.stack([np.linspace(-1, 1, count), np.linspace(0, 3, count)], -1)


def gif_frames(path):
  with Image.open(path) as image:
    return image.n_frames, image.info["duration"], image.size


def test_gl_renders_the_moving_cart(cartpole):
  if video.gl_backend() is None:
    pytest.skip("no OpenGL on this machine")
  frames = video.render(cartpole, poses(3), width=160, height=90)
  assert (frames.shape, frames.dtype) == ((3, 90, 160, 3), np.uint8)
  blue = (frames[..., 2].astype(int) - frames[..., 0] > 60).astype(float)
  assert blue.sum() > 0
  column = (blue.sum(1) * np.arange(160)).sum(1) / blue.sum((1, 2))
  assert (np.diff(column) > 10).all(), column  # the cart goes from left to right


def test_frames_are_drawn_without_gl(cartpole, no_gl):
  frames = video.render(cartpole, poses(4), width=160, height=90)
  assert (frames.shape, frames.dtype) == ((4, 90, 160, 3), np.uint8)
  assert all((a != b).any() for a, b in itertools.pairwise(frames))


def test_a_broken_driver_falls_back_to_drawing(cartpole, monkeypatch):
  """A program that exits with an error stands in for a driver that crashes."""
  monkeypatch.setattr(sys, "executable", "/bin/false")
  monkeypatch.delenv("MUJOCO_GL", raising=False)
  video.gl_backend.cache_clear()
  try:
    assert video.gl_backend() is None
    assert video.render(cartpole, poses(2), width=80, height=60).shape == (2, 60, 80, 3)
  finally:
    video.gl_backend.cache_clear()


def test_rendering_can_be_disabled(monkeypatch):
  monkeypatch.setenv("MUJOCO_GL", "disable")
  video.gl_backend.cache_clear()
  assert video.gl_backend() is None
  video.gl_backend.cache_clear()


def test_environment_variables_do_not_change(cartpole):
  before = dict(os.environ)
  video.render(cartpole, poses(1), width=64, height=48)
  assert dict(os.environ) == before


def test_analytic_tasks_are_drawn():
  for name in ("pendulum", "linear_quadratic"):
    env = make_env(name)
    pose = np.asarray(env.pose(env.reset(jax.random.key(0))))
    frames = video.render(env, np.stack([pose, -pose]), width=80, height=60)
    assert (frames[0] != frames[1]).any()


def test_title_and_captions_are_written(cartpole, no_gl):
  still = np.repeat(poses()[:1], 2, 0)
  plain = video.render(cartpole, still)
  titled = video.render(cartpole, still, title="trial 3", captions=["", "return 12"])
  assert (plain[0] == plain[1]).all()
  assert (titled[0][:40] != plain[0][:40]).any()
  assert (titled[0][200:] == plain[0][200:]).all()
  assert (titled[1][-40:] != plain[1][-40:]).any()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"poses": np.zeros(2)}, r"\[T, Q\].*\(2,\)"),
    ({"captions": ["one"]}, "6 poses need as many captions, got 1"),
    ({"width": 0}, "width=0 must be positive"),
  ],
)
def test_render_refuses(cartpole, arguments, message):
  with pytest.raises(ValueError, match=message):
    video.render(cartpole, **{"poses": poses(), **arguments})


def test_a_gif_is_written_without_ffmpeg(tmp_path, monkeypatch):
  monkeypatch.setattr(video.shutil, "which", lambda name: None)
  frames = np.random.default_rng(0).integers(0, 255, (50, 24, 32, 3)).astype(np.uint8)
  path = video.write_video(tmp_path / "new" / "rollout.mp4", frames, fps=50)
  assert path == tmp_path / "new" / "rollout.gif"
  count, duration, size = gif_frames(path)
  assert size == (32, 24)
  assert count * duration == pytest.approx(1000, rel=0.1)  # plays in real time
  assert count < len(frames)


def test_an_mp4_is_written_with_ffmpeg(tmp_path, monkeypatch):
  written = []
  monkeypatch.setattr(video.shutil, "which", lambda name: "/somewhere/ffmpeg")
  monkeypatch.setattr(
    "mediapy.write_video", lambda path, frames, fps: written.append((path, fps))
  )
  path = video.write_video(tmp_path / "rollout.mp4", np.zeros((2, 8, 8, 3), np.uint8), fps=25)
  assert written == [(path, 25)] and path.suffix == ".mp4"


def test_mp4_shows_what_was_written(tmp_path):
  """A red block goes from left to right; H.264 loses little of it."""
  if shutil.which("ffmpeg") is None:
    pytest.skip("no ffmpeg on this machine")
  import mediapy

  frames = np.full((12, 48, 64, 3), 255, np.uint8)
  for i, frame in enumerate(frames):
    frame[10:30, 4 * i : 4 * i + 12] = (200, 20, 20)
  path = video.write_video(tmp_path / "new" / "rollout.mp4", frames, fps=25)
  assert path == tmp_path / "new" / "rollout.mp4"
  read = mediapy.read_video(path)
  assert read.metadata.fps == 25 and read.shape == frames.shape
  assert np.abs(read.astype(int) - frames).mean() < 5


@pytest.mark.parametrize("name", ["-i.mp4", "gs:x/a.mp4", "concat:a.mp4"])
def test_ffmpeg_gets_absolute_paths(name, tmp_path, monkeypatch):
  written = []
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(video.shutil, "which", lambda name: "/somewhere/ffmpeg")
  monkeypatch.setattr("mediapy.write_video", lambda path, *_, **__: written.append(str(path)))
  assert str(video.write_video(name, np.zeros((2, 8, 8, 3), np.uint8), fps=25)) == name
  assert written == [str(tmp_path / name)]


def test_write_video_refuses_no_frames(tmp_path):
  with pytest.raises(ValueError, match="frames=0 must be positive"):
    video.write_video(tmp_path / "a.gif", np.zeros((0, 8, 8, 3), np.uint8), fps=20)


def test_import_changes_no_environment_and_starts_no_backend():
  program = (
    "import os; before = dict(os.environ)\n"
    "import mbrl_jax.runtime.rendering.video, mbrl_jax.envs\n"
    "assert dict(os.environ) == before\n"
    "import jax._src.xla_bridge as bridge\n"
    "assert not bridge._backends\n"
  )
  subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
