"""The benchmark's operation counts and flags, and small runs of the program."""

import csv
import importlib.metadata
import json
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import options
from experiments.benchmark.peers import hydrax as hydrax_peer
from experiments.benchmark.peers import (
  mbrl_lib,
  ours_sac,
  peak,
  protocol,
  pytorch_mppi,
  sb3,
  versions,
)
from experiments.benchmark.peers.sizes import (
  SETTINGS,
  Sizes,
  first_obs,
  make_sizes,
  transitions,
)
from experiments.benchmark.peers.worker import ROOT
from experiments.benchmark.results import Report
from experiments.command_line.cli import UsageError

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
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def parse(*arguments):
  """Parses a command line as the program does."""
  values = flags.FlagValues()
  options.define(benchmark.WHAT, benchmark.DEFAULT, values)
  values(["benchmark", *arguments])
  options.check(values, benchmark.WHAT)
  return values


def test_flops_of_the_original_settings():
  """1,014 GFLOP for cart-pole, 0.4 TFLOP for half-cheetah."""
  assert (
    make_sizes("cartpole").plan_flops == 2 * (6 * 500 + 2 * 500 * 500 + 500 * 8) * 1_000_000
  )
  assert make_sizes("halfcheetah").plan_flops == pytest.approx(0.4e12, rel=0.02)


def test_flops_match_xla_cost_analysis():
  import jax
  import jax.numpy as jnp

  sizes = Sizes(plans=3, iterations=1, horizon=1, particles=2, members=1, hidden=(7, 5))

  def products(x, a, b, c):
    return x @ a @ b @ c

  shapes = [(6, 6), (6, 7), (7, 5), (5, 8)]
  compiled = jax.jit(products).lower(*(jnp.zeros(s) for s in shapes)).compile()
  assert compiled.cost_analysis()["flops"] == sizes.plan_flops


@pytest.mark.parametrize("setting", SETTINGS)
def test_sizes_are_those_of_the_setting(setting):
  from experiments.benchmark.peers import pets

  sizes = make_sizes(setting, points=20)
  spec = pets.make_spec(sizes)
  inputs, targets = pets.training_set(spec, sizes)
  assert inputs.shape == (20, sizes.features) and targets.shape == (20, sizes.obs_dim)
  assert spec.action_high.tolist() == [sizes.action_high] * sizes.action_dim
  assert spec.encode(first_obs(sizes)).shape == (sizes.features - sizes.action_dim,)


def test_arguments_override_the_setting():
  sizes = make_sizes("halfcheetah", plans=7, horizon=None)
  assert (sizes.plans, sizes.horizon, sizes.hidden) == (7, 30, (200,) * 4)
  assert sizes.elites == 1 and sizes.evaluations == 7 * 20 * 30 * 5


def test_every_worker_trains_on_the_same_transitions():
  sizes = Sizes(points=50)
  first, again = transitions(sizes), transitions(sizes)
  assert [x.shape for x in first] == [(50, 4), (50, 1), (50, 4)]
  assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
  assert sizes.fit_samples == 5 * 50 * 5


def test_peak_memory_includes_a_new_array():
  before = protocol.memory_mib()
  more = int(before["peak"] - before["now"]) + 64  # tests before this one may have used more
  block = np.ones(more * 2**20 // 8)
  assert protocol.memory_mib()["peak"] >= before["peak"] + 48 and block.sum() > 0
  assert protocol.free_mib() > 0


def test_peak_is_a_plausible_rate():
  with peak.Peak() as ceiling:
    assert 1e8 < ceiling.measure() < 1e15


def test_ratio_is_computed_from_medians():
  report = Report()
  for own, peer in ((1.0, 4.0), (2.0, 6.0), (9.0, 8.0)):
    report.record("plan", "own", own)
    report.record("plan", "peer", peer)
  report.add_ratios("plan", ["own"], "peer")
  report.add_ratios("plan", ["own"], None)
  assert report.rows == [("plan", "own", "times peer", 3.0, "x")]


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--what=speed", "--what='speed' is not known.*'peak', 'plan'"),
    ("--what=", "--what is empty"),
    ("--hidden=big", "--hidden takes widths such as 200,200, got 'big'"),
    ("--particles=7", "--particles=7 must be a multiple of --members=5"),
    ("--plans=0", "--plans takes numbers such as 100 or 100,200, got '0'"),
    ("--nets=5x200", "--nets: '5x200' is not members x width x layers"),
    ("--dtypes=float8", "--dtypes='float8' is not known.*'float32', 'bfloat16'"),
    ("--envs=moon", "--envs='moon' is not known.*'cartpole'"),
    ("--peer=pytorch_mppi", "--peer=pytorch_mppi takes part in --what=mppi only"),
  ],
)
def test_bad_flags_are_rejected(flag, message):
  with pytest.raises(UsageError, match=message):
    options.request(parse(flag))


def test_nets_exclude_members_and_hidden():
  with pytest.raises(UsageError, match="give one or the other"):
    options.request(parse("--nets=5x200x4", "--members=5"))


def test_first_values_of_lists_are_used_outside_a_sweep():
  request = options.request(parse("--plans=30,40", "--nets=2x8x3,5x9x1", "--particles=4"))
  assert request.sizes == Sizes(plans=30, members=2, hidden=(8, 8, 8), particles=4)


def test_program_rejects_bad_flags_without_a_traceback():
  out = run("--plans=0")
  assert out.returncode == 2 and out.stderr.startswith("error: --plans takes numbers")


def test_unknown_peer_lists_the_valid_ones():
  with pytest.raises(flags.IllegalFlagValueError, match="pytorch_mppi"):
    parse("--peer=torch")


def test_help_lists_the_flags():
  out = run("--help")
  assert out.returncode == 0 and "one axis at a time" in out.stdout
  assert all(f"--{name}:" in out.stdout for name in ("nets", "row_seconds", "setting", "what"))


@pytest.mark.parametrize(
  ("peer", "module"),
  [
    (mbrl_lib, "mbrl"),
    (pytorch_mppi, "pytorch_mppi"),
    (hydrax_peer, "hydrax.alg_base"),
    (sb3, "stable_baselines3"),
  ],
)
def test_missing_peer_names_its_install_command(peer, module, monkeypatch):
  def version(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setitem(sys.modules, module, None)
  monkeypatch.setattr(versions, "version", version)
  with pytest.raises(ImportError) as error:
    peer.Jobs().info()
  command = f"python -m experiments.benchmark.peers.install {peer.VENV}\n"
  assert command in str(error.value) and "--peer_python" in str(error.value)


@pytest.mark.slow
def test_round_of_the_actor_critic_takes_its_gradient_steps_for_each_seed():
  worker = ours_sac.Jobs()
  worker.setup_sac(seeds=2, steps=3)  # runs one round
  assert worker.learn()["finite"]
  np.testing.assert_array_equal(worker.state.opt_state.count, [6, 6])


@pytest.mark.slow
def test_small_run_writes_its_table(tmp_path):
  out = run("--what=peak,plan,memory", "--dtypes=float32", f"--out={tmp_path}/sub/b", *SMALL)
  assert out.returncode == 0, out.stderr[-3000:]
  result = json.loads((tmp_path / "sub/b.json").read_text())
  rows = {(r["what"], r["figure"]): r["value"] for r in result["rows"]}
  rate = rows["plan", "rate"] * rows["plan", "one planning step"]
  assert rate == pytest.approx(result["plan_gflop"], rel=1e-6)
  fraction = rows["plan", "rate"] * 1e9 / result["rounds"]["plan peak/float32"][0]
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
