"""The picture that a running run redraws: how often, and that it never stops the run."""

import io
import itertools

import pytest
import rich.console

from experiments.train import redraw as training_redraw
from experiments.train.redraw import FIRST, INTERVAL, SHARE, Redraw
from mbrl_jax.runtime.storage.run_folder import RunFolder


class Clock:
  """A clock that only ``sleep`` moves."""

  def __init__(self):
    self.now = 100.0

  def __call__(self):
    return self.now

  def sleep(self, seconds):
    self.now += seconds


def simulate(draw_seconds, total=20_000.0, chunk=7.0):
  """Returns the times of the pictures of a run with chunks of some seconds."""
  clock, times = Clock(), []

  def draw():
    times.append(clock.now - 100.0)
    clock.sleep(draw_seconds)

  redraw = Redraw([draw], rich.console.Console(file=io.StringIO()), clock)
  while clock.now - 100.0 < total:
    clock.sleep(chunk)
    redraw()
  return times


def test_fast_pictures_are_drawn_every_interval():
  times = simulate(0.1)
  assert FIRST <= times[0] <= FIRST + 7.0
  gaps = [b - a for a, b in itertools.pairwise(times)]
  assert all(INTERVAL <= gap <= INTERVAL + 7.1 for gap in gaps) and len(gaps) > 500


@pytest.mark.parametrize("seconds", [0.5, 2.0, 20.0, 300.0])
def test_slow_pictures_take_a_small_share_of_the_time(seconds):
  times = simulate(seconds)
  gaps = [b - a for a, b in itertools.pairwise(times)]
  assert gaps and all(gap >= max(INTERVAL, seconds / SHARE) * (1 - 1e-9) for gap in gaps)


def test_a_picture_that_fails_is_reported_once_and_the_others_are_drawn():
  clock, console, drawn = Clock(), rich.console.Console(file=io.StringIO(), width=200), []
  draws = [lambda: 1 / 0, lambda: drawn.append(clock.now)]
  redraw = Redraw(draws, console, clock)
  for seconds in (FIRST, INTERVAL, INTERVAL):
    clock.sleep(seconds)
    redraw()
  assert len(drawn) == 3
  lines = console.file.getvalue().splitlines()
  assert lines == ["no picture of the run so far: ZeroDivisionError: division by zero"]


def test_the_picture_of_a_run_is_redrawn_from_its_tables(tmp_path, monkeypatch):
  monkeypatch.setattr(training_redraw, "FIRST", 0.0)
  (tmp_path / "config.json").write_text('{"algo": "sac"}')
  console = rich.console.Console(file=io.StringIO())
  training_redraw.redraw([RunFolder(tmp_path)], "pendulum", console)()
  picture = tmp_path / "plots" / "training.png"
  empty = picture.read_bytes()  # no episode has ended yet
  (tmp_path / "metrics.csv").write_text("step,return,success\n10,1,0\n20,2,1\n")
  training_redraw.redraw([RunFolder(tmp_path)], "pendulum", console)()
  assert len(picture.read_bytes()) > len(empty) > 0 and console.file.getvalue() == ""
