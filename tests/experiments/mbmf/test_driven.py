"""Trajectories along paths: progress, distance, table, pictures and the sheet."""

from __future__ import annotations

import csv

import jax
import numpy as np
import pytest
from absl import flags
from mbmf_files import drawn_figures, model_table, run_folder

from experiments.command_line.cli import UsageError
from experiments.mbmf import driven, path_pictures, sheet
from experiments.mbmf.agents import AGENTS
from mbrl_jax.envs import make_env

ANT = AGENTS["ant"].follow
START = np.array([3.0, -2.0])


def observations(places, segments, follow=ANT):
  """Returns observations of a body that starts at ``START`` and visits ``places [T+1, 2]``."""
  found = np.full((len(places), follow.size + 3), 7.0, np.float32)
  for axis, column in zip(follow.plane, (START + places).T, strict=True):
    found[:, follow.size - 6 + axis] = column
  found[:, follow.size] = segments
  found[:, follow.size + 1 :] = START
  return found


def drive_run(folder, path="u_turn", rows=3):
  """Writes a model stage whose rollouts drive along u_turn's first two corners, then stop.

  Each drifts 0.1 m further from the path than the one before.
  """
  run_folder(folder, env="ant_follow", env_overrides={"path": path})
  model_table(folder, [(30, [1.0] * (rows - 1)), (60, [2.0])])
  along = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]], float)
  drift = np.array([0, 0.1])
  each = [observations(along + i * drift, [0, 0, 1, 1, 1]) for i in range(rows)]
  zeros = np.zeros((rows, 4, 1), np.float32)
  np.savez(
    folder / "logs.npz",
    observations=np.stack(each),
    actions=zeros,
    rewards=np.ones((rows, 4), np.float32),
    poses=zeros,
    lengths=np.full(rows, 4),
    steps=10 * np.arange(1, rows + 1),
    random=np.zeros(rows, bool),
    terminated=np.zeros(rows, bool),
    returns=np.full((1, rows), 4.0),
  )
  return folder


def test_progress_is_a_share_of_the_length_and_the_distance_that_from_the_segment():
  """u_turn has segments of 2 2 1 1 2 1 1 metres."""
  points = ANT.paths["u_turn"].points
  places = np.array([[0, 0], [1, 0.5], [2, 0], [4, 0.2], [4.3, 1.5]])
  found, progress, distance = driven.measure(ANT, points, observations(places, [0, 0, 1, 1, 3]))
  np.testing.assert_allclose(found, places, atol=1e-6)
  assert progress == pytest.approx(5.5 / 10, abs=1e-6)
  assert distance == pytest.approx((0 + 0.5 + 0 + 0.2 + 0.3) / 5, abs=1e-6)


def test_a_body_that_goes_back_keeps_its_progress():
  points = ANT.paths["u_turn"].points
  places = np.array([[0, 0], [2.5, 0], [2.1, 0]])
  _, progress, _ = driven.measure(ANT, points, observations(places, [0, 1, 1]))
  assert progress == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("name", ["swimmer", "cheetah", "ant"])
def test_an_environment_starts_on_its_path(name):
  """At a real task the columns are the right ones: place 0, no progress, no distance."""
  follow = AGENTS[name].follow
  env = make_env(follow.task, "mujoco")
  assert env.spec.obs_dim == follow.size + 3
  obs = np.asarray(env.reset(jax.random.key(0)).obs)[None]
  places, progress, distance = driven.measure(follow, follow.paths["straight"].points, obs)
  np.testing.assert_allclose(places, 0, atol=1e-6)
  assert progress == pytest.approx(0, abs=1e-6) and distance == pytest.approx(0, abs=1e-6)


def test_rollouts_of_a_run_are_measured_for_each_fit(tmp_path):
  drives = driven.read(drive_run(tmp_path / "model", rows=3))
  assert [each.fit for each in drives] == [0, 0, 1] and drives[0].agent == "ant"
  assert [each.step for each in drives] == [10, 20, 30]
  assert [each.distance for each in drives] == pytest.approx([0, 0.1, 0.2], abs=1e-6)
  assert drives[2].body_lengths == pytest.approx(0.4, abs=1e-5)
  assert all(each.progress == pytest.approx(0.4) for each in drives)
  assert driven.last(drives) == drives[2:]
  with open(driven.write(tmp_path / "paths.csv", drives), newline="") as file:
    rows = list(csv.DictReader(file))
  assert rows[1] == {
    "agent": "ant", "path": "u_turn", "seed": "0", "step": "20", "aggregation": "0",
    "progress": "0.4000", "distance_m": "0.1000", "distance_body_lengths": "0.2000",
    "return": "4",
  }  # fmt: skip


def test_other_runs_have_no_trajectories(tmp_path):
  assert driven.read(run_folder(tmp_path / "a")) == []
  assert driven.read(run_folder(tmp_path / "b", env="ant_follow")) == []


def test_the_picture_has_the_path_and_each_trajectory(tmp_path, monkeypatch):
  figures = drawn_figures(monkeypatch)
  drives = driven.read(drive_run(tmp_path / "model", rows=3))
  path_pictures.draw_fits(tmp_path / "p.png", drives, "ant")
  first, second = [axes for axes in figures[0].axes if axes.get_visible()]
  path, *driven_lines = first.get_lines()
  np.testing.assert_allclose(path.get_xydata(), ANT.paths["u_turn"].points)
  assert len(driven_lines) == 2 and len(second.get_lines()) == 2
  np.testing.assert_allclose(second.get_lines()[1].get_xydata()[-1], [4, 0.2], atol=1e-6)
  assert "40% of the path, 0.20 m (0.40 body lengths) off" in second.get_title()
  (left, right), (low, high) = first.get_xlim(), first.get_ylim()
  assert left < 0 and right > 4 and low < 0 and high > 1, "the path nearby is not visible"
  assert first.xaxis.label.get_window_extent().y0 >= 0, "the label is cut off"
  assert first.get_legend() is None and figures[0].legends, "the legend covers trajectories"


def call_sheet(*arguments):
  values = flags.FlagValues()
  sheet.define(values)
  values(["sheet", *map(str, arguments)])
  return sheet.main(values, {"config": {}, "env": {}})


def test_a_sheet_has_a_panel_for_each_path_of_several_folders(tmp_path, monkeypatch):
  figures = drawn_figures(monkeypatch)
  for name in ("u_turn", "straight"):
    drive_run(tmp_path / name / "seed0" / "model", name)
  out = tmp_path / "sheet.png"
  folders = [f"--runs={tmp_path / name}" for name in ("u_turn", "straight")]
  assert call_sheet(*folders, f"--out={out}") == 0
  titles = [axes.get_title().split("\n")[0] for axes in figures[0].axes if axes.get_visible()]
  assert titles == ["ant, u_turn", "ant, straight"]
  with open(out.with_suffix(".csv"), newline="") as file:
    assert [row["aggregation"] for row in csv.DictReader(file)] == ["1", "1"]


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "--runs is missing"),
    (["--runs={}/no"], "is not a folder"),
    (["--runs={}/plain"], "no rollout along a path is stored"),
    (["--runs={}/plain", "--out=a.xyz"], "the name must end in"),
  ],
)
def test_a_sheet_without_paths_is_refused(tmp_path, words, message):
  run_folder(tmp_path / "plain")
  with pytest.raises(UsageError, match=message):
    call_sheet(*(word.format(tmp_path) for word in words))
