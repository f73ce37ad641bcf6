"""The benchmark of MBMF: equal plans in both libraries, and rounds of tiny sizes."""

import contextlib
import functools
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark.measures import mbmf
from experiments.benchmark.peers import numpy_mbmf, ours_mbmf, ours_trpo
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report
from mbrl_jax import make_env
from mbrl_jax.algorithms.parts.model_planner import make_model_planner
from mbrl_jax.planners import SEARCHES, random_shooting

TINY = {"samples": 30, "horizon": 4, "hidden": (7,)}


def test_sizes_are_those_of_the_paper():
  assert mbmf.plan_sizes() == {"samples": 5000, "horizon": 20, "hidden": (500,)}
  model = ours_mbmf.paper_config().model
  assert (model.kind, model.activation, model.normalize_targets) == ("D", "relu", True)


def test_flops_match_xla_cost_analysis():
  multiply = jax.jit(lambda x, a, b: x @ a @ b)
  arrays = (jnp.zeros(shape) for shape in ((30 * 4, 18), (18, 7), (7, 16)))
  compiled = multiply.lower(*arrays).compile()
  assert mbmf.plan_flops(**TINY) == compiled.cost_analysis()["flops"]


def test_numpy_predicts_as_the_model_of_the_algorithm():
  net, rng = numpy_mbmf.draw_net((7,)), np.random.default_rng(2)
  obs = np.float32(rng.normal(size=(5, 16)))
  action = np.float32(rng.uniform(-1, 1, (5, 2)))
  config, params = ours_mbmf.paper_config(), ours_mbmf.make_params(net)
  assert config.model.hidden == (500,)
  config = ours_mbmf.paper_config(**{"model.hidden": (7,)})
  dynamics = make_model_planner(make_env("swimmer").spec, config.model, config.planner).dynamics
  step = jax.vmap(lambda obs, action: dynamics.step(params, obs, action, jnp.zeros((0, 0))))
  after, reward, _ = step(obs, action)
  expected = obs + numpy_mbmf.differences(net, obs, action)
  np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)
  cost = 0.005 * np.square(action).sum(1) - expected[:, 13]
  np.testing.assert_allclose(reward, -cost, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_both_libraries_choose_the_same_of_the_same_candidates(seed, monkeypatch):
  rng = np.random.default_rng(seed)
  candidates = np.float32(rng.uniform(-1, 1, (200, 6, 2)))

  @functools.wraps(random_shooting)
  def shoot(samples):
    draw = lambda state, key, size: (jnp.asarray(candidates), state)
    return random_shooting(samples)._replace(sample=draw)

  monkeypatch.setitem(SEARCHES, "random_shooting", shoot)
  config = ours_mbmf.paper_config(
    **{"model.hidden": (20,), "planner.samples": 200, "planner.horizon": 6}
  )
  planner = make_model_planner(make_env("swimmer").spec, config.model, config.planner).planner
  net, obs = numpy_mbmf.draw_net((20,)), np.float32(rng.normal(size=16))
  args = ours_mbmf.make_params(net), obs, planner.init(), jax.random.key(seed)
  out, _ = jax.jit(planner.plan)(*args)
  plan, value = numpy_mbmf.best_plan(net, obs, candidates)
  np.testing.assert_array_equal(out.plan, plan)
  assert float(out.value) == pytest.approx(value, rel=1e-5)
  returns = [numpy_mbmf.best_plan(net, obs, candidates[i : i + 1])[1] for i in range(200)]
  assert value == pytest.approx(max(returns), rel=1e-5) and np.ptp(returns) > 0.01


class LocalWorker(contextlib.nullcontext):
  """Does the jobs of a worker in this process."""

  def __init__(self, module):
    self.jobs = importlib.import_module(module).Jobs()

  def __enter__(self):
    return self

  def call(self, job, timeout=None, **arguments):
    return json.loads(json.dumps(getattr(self.jobs, job)(**json.loads(json.dumps(arguments)))))


class CannedWorker(LocalWorker):
  """Answers as if an iteration of TRPO took 4 s."""

  def __init__(self, module):
    self.seconds = {"iteration": 4.0, "collect": 2.0, "policy step": 1.0, "baseline fit": 0.5}

  def call(self, job, timeout=None, part="", **arguments):
    return {"compile_seconds": 3.0, "seconds": self.seconds.get(part), "finite": True}


class LocalCeiling(contextlib.nullcontext):
  """The ceiling of a device of 1 TFLOP/s."""

  source = "nowhere"

  def __enter__(self):
    return self

  def measure(self, dtype):
    return 1e12


def test_planning_is_measured_beside_numpy(monkeypatch):
  monkeypatch.setattr(mbmf, "Worker", LocalWorker)
  monkeypatch.setattr(mbmf, "Ceiling", LocalCeiling)
  report = Report()
  mbmf.measure_planning(report, Request(rounds=2, dtypes=("float32",)), TINY)
  rows = {row[1:3]: row[3] for row in report.rows}
  own, peer = (rows[name, "one replan"] for name in ("mbrl_jax float32", "numpy"))
  assert rows["mbrl_jax float32", "times numpy"] == pytest.approx(peer / own)
  taken = report.rounds["mbmf plan/mbrl_jax float32"]
  assert len(taken) == 2 and own == pytest.approx(1e3 * np.median(taken))
  share = np.median([mbmf.plan_flops(**TINY) / seconds / 1e12 for seconds in taken])
  found = rows["mbrl_jax float32", "share of the peak (nowhere)"]
  assert found == pytest.approx(share)


def test_rate_and_shares_of_trpo_are_those_of_its_iteration(monkeypatch):
  monkeypatch.setattr(mbmf, "Worker", CannedWorker)
  report = Report()
  mbmf.measure_trpo(report, Request(rounds=2), 40, 4)
  rows = {row[2]: row[3] for row in report.rows}
  assert rows["environment steps, with learning"] == 10.0 and rows["iteration"] == 4.0
  assert [rows[f"{part}, share"] for part in mbmf.PARTS] == [0.5, 0.25, 0.125]
  assert report.rounds["mbmf trpo/mbrl_jax x4, collect"] == [2.0, 2.0]


@pytest.mark.slow
def test_small_jobs_run_in_their_processes():
  report, request = Report(), Request(rounds=1, dtypes=("float32", "bfloat16"))
  mbmf.measure_planning(report, request, TINY)
  mbmf.measure_trpo(report, request, 40, 4)
  assert len(report.rounds) == 3 + 4 and min(row[3] for row in report.rows) > 0


@pytest.mark.slow
def test_parts_of_trpo_share_one_full_batch():
  jobs = ours_trpo.Jobs()
  jobs.setup_trpo(40, 4)
  state, _ = jobs.programs["collect"][0](*jobs.programs["collect"][1])
  assert int(state.learn.batch.filled) == 10
  program, (learner, data, key) = jobs.programs["policy step"]
  np.testing.assert_array_equal(data.action, state.learn.batch.sampled)
  assert data.obs.shape == (4, 10, 24) and bool(data.valid.all())
  moved, metrics = program(learner, data, key)
  assert int(metrics["refused"]) == 0 and float(metrics["kl"]) > 0
  np.testing.assert_array_equal(moved.baseline.weights, learner.baseline.weights)
  program, (baseline, *rows) = jobs.programs["baseline fit"]
  np.testing.assert_array_equal(baseline.weights, learner.baseline.weights)
  np.testing.assert_array_equal(rows[0], data.obs.reshape(40, 24))
  assert np.abs(program(baseline, *rows)[0].weights - baseline.weights).max() > 0
