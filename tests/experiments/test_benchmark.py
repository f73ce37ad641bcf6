"""The benchmark counts right, talks to its workers, and runs on a small job."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.peers import peak, protocol

SMALL = [
  "--plans=10",
  "--horizon=3",
  "--iterations=2",
  "--particles=4",
  "--members=2",
  "--hidden=8,8",
  "--points=64",
  "--epochs=2",
  "--rounds=1",
]


def run(*arguments):
  command = [sys.executable, "-m", "experiments.benchmark", *arguments]
  return subprocess.run(command, cwd=protocol.ROOT, capture_output=True, text=True, check=False)


def test_flops_of_the_original_setting():
  """PERFORMANCE figures quote 1,014 GFLOP for 3 layers of 500 and 200,000 x 5 rows."""
  assert protocol.Sizes().plan_flops == 2 * (6 * 500 + 2 * 500 * 500 + 500 * 8) * 1_000_000


def test_flops_match_what_xla_counts():
  import jax
  import jax.numpy as jnp

  sizes = protocol.Sizes(
    plans=3, iterations=1, horizon=1, particles=2, members=1, hidden=(7, 5)
  )

  def products(x, a, b, c):
    return x @ a @ b @ c

  shapes = [(6, 6), (6, 7), (7, 5), (5, 8)]
  compiled = jax.jit(products).lower(*(jnp.zeros(s) for s in shapes)).compile()
  assert compiled.cost_analysis()["flops"] == sizes.plan_flops


def test_every_worker_trains_on_the_same_transitions():
  sizes = protocol.Sizes(points=50)
  first, again = protocol.transitions(sizes), protocol.transitions(sizes)
  assert [x.shape for x in first] == [(50, 4), (50, 1), (50, 4)]
  assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
  assert sizes.fit_samples == 5 * 50 * 5


def test_memory_peak_is_seen():
  before = protocol.memory_mib()["peak"]
  block = np.ones(64 * 2**20 // 8)
  assert protocol.memory_mib()["peak"] >= before + 48 and block.sum() > 0


def test_worker_reports_a_job_that_fails_and_goes_on():
  with protocol.Worker("experiments.peers.mbrl_lib") as worker:
    with pytest.raises(protocol.WorkerError, match="KeyError: 'dance'"):
      worker.ask("dance")
    assert worker.ask("memory")["now"] > 1


def test_worker_that_cannot_start_is_reported():
  with (
    protocol.Worker("experiments.peers.no_such_module") as worker,
    pytest.raises(protocol.WorkerError, match="ended with exit status"),
  ):
    worker.ask("memory")


def test_peak_is_the_rate_of_a_machine():
  with peak.Peak() as ceiling:
    assert 1e8 < ceiling.measure() < 1e15


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--what=speed", "--what=speed is not known; choose among peak, plan"),
    ("--hidden=big", "--hidden takes widths"),
    ("--particles=7", "--particles=7 must be a multiple of --members=5"),
    ("--plans=0", "plans"),
    ("--peer=torch", "mbrl"),
    ("--dtypes=float8", "--dtypes=float8 is not known; choose among float32, bfloat16"),
    ("--envs=moon", "--envs=moon is not known; choose among cartpole"),
  ],
)
def test_bad_flags_are_refused(flag, message):
  out = run(flag)
  assert out.returncode != 0 and message in out.stdout + out.stderr


def test_missing_peer_is_named_with_its_command(tmp_path):
  try:
    import mbrl  # noqa: F401
  except ImportError:
    pass
  else:
    pytest.skip("mbrl-lib is installed here")
  out = run("--what=fit", "--peer=mbrl", f"--out={tmp_path}/b", *SMALL)
  assert out.returncode != 0
  assert "pip install mbrl==0.2.0" in out.stderr and "--peer_python" in out.stderr


def test_small_run_writes_its_table(tmp_path):
  out = run("--what=peak,plan,memory", "--dtypes=float32", f"--out={tmp_path}/sub/b", *SMALL)
  assert out.returncode == 0, out.stderr[-3000:]
  result = json.loads((tmp_path / "sub/b.json").read_text())
  rows = {(r["what"], r["figure"]): r["value"] for r in result["rows"]}
  rate = rows["plan", "rate"] * rows["plan", "one planning step"]
  assert rate == pytest.approx(result["plan_gflop"], rel=1e-6)
  fraction = rows["plan", "rate"] * 1e9 / result["rounds"]["plan peak/machine"][0]
  assert rows["plan", "of the measured float32 peak"] == pytest.approx(fraction, rel=1e-6)
  assert rows["memory", "compilations on new parameters"] == 0
  assert rows["memory", "peak above the process' start"] > 0
  with open(tmp_path / "sub/b.csv", newline="", encoding="utf-8") as file:
    table = list(csv.DictReader(file))
  assert [float(r["value"]) for r in table] == pytest.approx(
    [r["value"] for r in result["rows"]]
  )


@pytest.mark.slow
def test_small_run_trains_and_steps(tmp_path):
  out = run("--what=fit,env", "--envs=pendulum", f"--out={tmp_path}/b", *SMALL)
  assert out.returncode == 0, out.stderr[-3000:]
  rows = json.loads((tmp_path / "b.json").read_text())["rows"]
  rates = [r["value"] for r in rows if r["unit"] == "1/s"]
  assert len(rates) == 2 and min(rates) > 0
