"""A sweep continues after failed rows and keeps the rows it measured."""

import csv
import io
import json
import signal
import subprocess
import sys
import time

import pytest
import rich.console

from experiments.benchmark import grid, options, picture
from experiments.benchmark.measures import ceiling, sweep
from experiments.benchmark.peers import ours_device, ours_sweep, protocol
from experiments.benchmark.peers.sizes import Sizes
from experiments.benchmark.peers.worker import ROOT
from experiments.command_line.cli import UsageError
from tests.experiments.benchmark.test_benchmark import parse
from tests.experiments.benchmark.test_benchmark_worker import PROBE

AXES = {
  "plans": (10, 20),
  "particles": (4, 8),
  "horizon": (3,),
  "nets": ("2x8x2",),
  "dtype": ("float32",),
  "devices": (1,),
}
TINY = ["--plans=10", "--horizon=3", "--particles=4", "--nets=2x8x2", "--iterations=1"]


@pytest.fixture
def probed(monkeypatch):
  """Sweeps with the probe worker and a peak of 1 GFLOP/s."""
  monkeypatch.setattr(sweep, "WORKER", PROBE)
  monkeypatch.setattr(ceiling, "WORKER", PROBE)
  monkeypatch.setattr(ceiling.Peak, "measure", lambda self: 1e9)


def measure(folder, axes, stop=lambda: False, row_seconds=20.0):
  job = sweep.Sweep(Sizes(iterations=2), grid.cells(axes), row_seconds, f"{folder}/s")
  output = io.StringIO()
  console = rich.console.Console(file=output, width=200, soft_wrap=True)
  rows, device = sweep.measure(job, console, stop)
  return rows, device, output.getvalue()


def test_cells_take_one_axis_at_a_time():
  cells = grid.cells({**AXES, "nets": ("2x8x2", "4x8x2"), "devices": (1, 1)})
  centre = grid.SweepCell(10, 4, 3, "2x8x2", "float32", 1)
  assert cells[0] == centre and len(cells) == 4
  for cell in cells[1:]:
    assert sum(getattr(cell, name) != getattr(centre, name) for name in grid.AXES) == 1


def test_cell_overrides_the_sizes():
  sizes = grid.SweepCell(10, 4, 3, "2x8x3", "float32", 1).sizes(Sizes(iterations=7))
  expected = Sizes(plans=10, particles=4, horizon=3, members=2, hidden=(8, 8, 8), iterations=7)
  assert sizes == expected


@pytest.mark.parametrize("text", ["5x200", "0x200x4", "5x200x4x1", "x", "5 x 2 x 4"])
def test_invalid_nets_are_rejected(text):
  with pytest.raises(ValueError, match="members x width x layers"):
    grid.parse_nets(text)


@pytest.mark.parametrize("setting", list(grid.DEFAULTS))
def test_default_axes_are_consistent(setting):
  axes = options.axes(parse("--what=sweep", f"--setting={setting}", "--plans=3,4"))
  assert axes["plans"] == [3, 4] and axes["nets"][0] == "5x200x4"
  assert grid.cells(axes)[1].plans == 4


def test_members_and_hidden_set_the_nets_axis():
  axes = options.axes(parse("--members=2", "--hidden=8,8,8", "--particles=4"))
  assert axes["nets"] == ["2x8x3"]
  with pytest.raises(UsageError, match="same width"):
    options.axes(parse("--hidden=8,9"))
  with pytest.raises(UsageError, match="multiple of --members=3"):
    options.axes(parse("--nets=5x8x1,3x8x1"))


def test_columns_of_a_row_are_consistent(probed, tmp_path):
  rows, device, output = measure(tmp_path, AXES)
  assert [row["status"] for row in rows] == ["ok"] * 3 and device["kind"] == "probe"
  for row, cell in zip(rows, grid.cells(AXES), strict=True):
    sizes = cell.sizes(Sizes(iterations=2))
    assert row["plans_per_second"] == cell.plans * 2 / 0.5
    assert row["evaluations_per_second"] == sizes.evaluations / 0.5
    assert row["of_peak"] == pytest.approx(sizes.plan_flops / 0.5 / 1e9)
    assert row["gflops"] == pytest.approx(row["of_peak"])
  written = json.loads((tmp_path / "s.json").read_text())
  assert written["rows"] == rows and written["centre"]["plans"] == 10
  assert len(list(csv.DictReader((tmp_path / "s.csv").open()))) == 3
  assert "row  3/3" in output and "ETA 0:00" in output


def test_failed_rows_record_their_status_and_the_sweep_continues(probed, tmp_path):
  axes = {**AXES, "plans": (10, 11, 12, 13, 14, 15), "particles": (4,), "devices": (1, 3)}
  rows, _, output = measure(tmp_path, axes, row_seconds=2.0)
  assert {row["plans"]: row["status"] for row in rows[:-1]} == {
    10: "ok",
    11: "out of memory",
    12: "out of time",
    13: "out of memory",
    14: "out of memory",
    15: "failed: non-finite numbers",
  }
  assert rows[-1]["status"].endswith("needs 3 devices, 2 are available")
  assert all(row["step_seconds"] is None for row in rows[1:])
  assert "out of time" in output
  table = list(csv.DictReader((tmp_path / "s.csv").open()))
  assert [row["status"] for row in table] == [row["status"] for row in rows]


def test_interrupted_sweep_keeps_the_measured_rows(probed, tmp_path):
  axes = {**AXES, "plans": (10, 12, 20)}  # the second row sleeps
  written = tmp_path / "s.csv"
  rows, _, output = measure(tmp_path, axes, stop=written.exists)
  assert [row["plans"] for row in rows] == [10] and "after 1 of 4 rows" in output
  assert len(list(csv.DictReader(written.open()))) == 1


def test_plot_shows_every_swept_axis(probed, tmp_path):
  axes = {**AXES, "plans": (10, 5, 11), "dtype": ("float32", "bfloat16")}
  rows, _, _ = measure(tmp_path, axes)
  centre = rows[0]
  assert [row["plans"] for row in picture.rows_along(rows, centre, "plans")] == [5, 10, 11]
  assert [row["dtype"] for row in picture.rows_along(rows, centre, "dtype")] == list(
    axes["dtype"]
  )
  path = picture.draw(tmp_path / "s.png", rows, centre, "probe")
  assert path.stat().st_size > 10_000
  assert picture.draw(tmp_path / "alone.png", rows[:1], centre, "probe") is None


def test_accelerator_peak_is_measured_for_each_precision(monkeypatch):
  measured = []

  class Accelerator:
    def __init__(self, module, stop):
      pass

    def call(self, job, dtype=None):
      if job == "devices":
        return {"platform": "tpu", "kind": "v9", "count": 8}
      measured.append(dtype)
      return {"flops": {"float32": 1e12, "bfloat16": 9e12}[dtype]}

    def __enter__(self):
      return self

    def __exit__(self, *_):
      pass

  monkeypatch.setattr(ceiling, "Worker", Accelerator)
  with ceiling.Ceiling(["float32", "bfloat16"]) as top:
    assert top.measure("bfloat16", devices=2) == 18e12 and top.name("bfloat16") == "bfloat16"
  assert measured == ["float32", "bfloat16"]


def test_matrix_product_has_a_rate():
  assert 1e6 < ours_device.matmul("bfloat16", size=64)["flops"] < 1e15
  assert ours_device.devices()["count"] >= 1


@pytest.fixture(scope="module")
def tiny():
  return grid.SweepCell(10, 4, 3, "2x8x2", "float32", 1).sizes(Sizes(iterations=2, points=8))


@pytest.mark.slow
def test_row_is_measured(tiny):
  jobs = ours_sweep.Jobs()
  assert jobs.setup(tiny, "bfloat16", 1)["compile_seconds"] > 0
  answer = jobs.measure(0.0)
  assert answer["finite"] and answer["steps"] == 2
  assert answer["seconds"] > 0 and answer["memory_mib"] > 10


def test_row_that_exceeds_free_memory_is_not_run(tiny, monkeypatch):
  monkeypatch.setattr(protocol, "free_mib", lambda: 0.0)
  with pytest.raises(MemoryError, match="MiB, 0 are free"):
    ours_sweep.Jobs().setup(tiny, "float32", 1)


def test_row_with_too_many_devices_is_rejected(tiny):
  with pytest.raises(RuntimeError, match="needs 99 devices"):
    ours_sweep.Jobs().setup(tiny, "float32", 99)


@pytest.mark.slow
def test_sweep_runs_over_two_devices(tmp_path):
  command = [sys.executable, "-m", "experiments.benchmark", "--what=sweep", *TINY]
  more = ["--dtypes=float32", "--devices=1,2", f"--out={tmp_path}/b"]
  out = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
  assert out.returncode == 0, out.stderr[-3000:]
  rows = json.loads((tmp_path / "b_sweep.json").read_text())["rows"]
  assert [(row["devices"], row["status"]) for row in rows] == [(1, "ok"), (2, "ok")]
  assert (tmp_path / "b_sweep.png").exists() and not (tmp_path / "b.csv").exists()


@pytest.mark.slow
def test_signal_ends_a_sweep_and_keeps_its_files(tmp_path):
  command = [sys.executable, "-m", "experiments.benchmark", "--what=sweep", *TINY]
  more = ["--dtypes=float32", "--horizon=3,4,5,6,7,8,9", f"--out={tmp_path}/b"]
  with subprocess.Popen([*command, *more], cwd=ROOT, stdout=subprocess.PIPE) as process:
    written, end = tmp_path / "b_sweep.csv", time.monotonic() + 120
    while not written.exists() and time.monotonic() < end:
      time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 128 + signal.SIGINT
    assert b"interrupted after" in process.stdout.read()
  rows = json.loads((tmp_path / "b_sweep.json").read_text())["rows"]
  assert 1 <= len(rows) < 8
