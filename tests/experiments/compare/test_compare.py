"""The comparison of planners: exact models, ranks, output files and refusals."""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.compare import episodes, results
from experiments.compare.tasks import LOOPS, make_task
from mbrl_jax.planners import mirror_descent, random_shooting

ROOT = Path(__file__).parents[3]


def run(*arguments):
  command = [sys.executable, "-m", "experiments.compare", *map(str, arguments)]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def read(path):
  with open(path, newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def test_the_cartpole_equations_agree_with_mujoco():
  task = make_task("cartpole")
  step, model = jax.jit(task.env.step), jax.jit(task.dynamics.step)
  state, rng = task.env.reset(jax.random.key(0)), np.random.default_rng(0)
  seen = []
  for _ in range(60):  # more than a full turn, without reaching the end of the rail
    action = np.float32(
      rng.uniform(-3, 3, 1) - 3 * np.sign(state.obs[0]) * (rng.random() < 0.3)
    )
    obs, reward, terminated = model(None, state.obs, action, None)
    state, transition = step(state, action, None)
    np.testing.assert_allclose(obs, state.obs, rtol=1e-4, atol=2e-5)
    assert reward == pytest.approx(float(transition.reward), abs=1e-5) and not terminated
    seen.append(np.asarray(state.obs))
  seen = np.abs(seen)
  assert seen[:, 0].max() < 2.5 and seen[:, 1].max() > 1.5 and seen[:, 3].max() > 3


@pytest.mark.parametrize("name", LOOPS)
def test_executing_a_plan_earns_its_predicted_return(name):
  """The model is exact, so that prediction and execution agree."""
  task, search = make_task(name), random_shooting(8)
  planner = episodes.build(task, search, task.loop._replace(iterations=1))
  state = task.env.reset(jax.random.key(3))
  output, _ = jax.jit(planner.plan)(None, task.view(state), planner.init(), jax.random.key(4))
  earned, step = 0.0, jax.jit(task.env.step)
  for action in output.plan:
    state, transition = step(state, action, None)
    earned += float(transition.reward)
  assert earned == pytest.approx(float(output.value), rel=1e-3, abs=1e-3)


@pytest.mark.slow
def test_seeds_share_initial_states_and_step_sizes_run_at_once():
  task = make_task("pendulum")
  loop = task.loop._replace(iterations=1, knots=0, horizon=4)
  planner = episodes.build(task, mirror_descent(4, elites=1, step_size=1.0), loop)
  values = episodes.returns_of_step_sizes(task, planner, 3, 3, [0.5, 1.0])
  alone = episodes.returns(task, planner, 3, 3)
  np.testing.assert_allclose(values[1], alone, rtol=1e-4)
  assert (values[0] != values[1]).all()
  # The first reward depends on the initial state, hardly on the action.
  other = episodes.build(task, random_shooting(4), loop)
  first, same = (episodes.returns(task, one, 1, 3) for one in (planner, other))
  np.testing.assert_allclose(first, same, atol=0.005)
  assert np.std(first) > 0.05


def test_cost_counts_the_transitions_of_the_model():
  task, search = make_task("pendulum"), random_shooting(5)
  loop = task.loop._replace(iterations=2, horizon=7)
  planner = episodes.build(task, search, loop)
  cost = episodes.measure(task, planner, search, loop)
  assert cost.model_steps == 5 * 2 * 7 and 0 < cost.seconds < 10


def test_planners_are_ranked_within_their_task():
  rows = [
    {"env": "a", "return": -100.0},
    {"env": "a", "return": -110.0},
    {"env": "b", "return": 50.0},
    {"env": "b", "return": 40.0},
  ]
  assert [row["behind"] for row in results.rank(rows)] == pytest.approx([0, 0.1, 0, 0.2])


@pytest.mark.slow
def test_a_small_run_writes_table_and_picture(tmp_path):
  out = tmp_path / "sub" / "planners"
  done = run(
    "--planners=predictive_sampling,cem", "--envs=pendulum", "--seeds=2", "--episode=4",
    "--iterations=1", "--horizon=5", "--knots=0", f"--out={out}", "--set", "cem.samples=100",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  rows = read(f"{out}.csv")
  assert [row["planner"] for row in rows] == ["predictive_sampling", "cem"]
  assert [int(row["model_steps"]) for row in rows] == [5 * 128, 5 * 100]
  assert [row["settings"] for row in rows] == ["", "samples=100"]
  assert min(float(row["behind"]) for row in rows) == 0
  assert {row["episode"] for row in rows} == {"4"} and {row["seeds"] for row in rows} == {"2"}
  assert (tmp_path / "sub" / "planners.png").stat().st_size > 5000
  for text in ("| pendulum | cem ", "2/2", "ETA", "wrote"):
    assert text in done.stdout, text


@pytest.mark.slow
def test_the_gain_of_a_step_size_is_a_paired_difference(tmp_path):
  done = run(
    "--what=samples", "--samples=2,4", "--step_sizes=0.5", "--envs=pendulum", "--seeds=2",
    "--episode=4", "--horizon=5", "--knots=2", f"--out={tmp_path}/s",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  rows = read(tmp_path / "s.csv")
  cells = [(row["samples"], row["step_size"]) for row in rows]
  assert cells == [("2", "0.5"), ("2", "1"), ("4", "0.5"), ("4", "1")]
  for half, one in (rows[:2], rows[2:]):
    gain = float(half["return"]) - float(one["return"])
    assert float(half["gain"]) == pytest.approx(gain, abs=1e-3)
    assert float(one["gain"]) == 0
  assert (tmp_path / "s.png").stat().st_size > 5000


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--envs=moon", "--envs='moon' is not known. Valid choices: 'pendulum', 'cartpole'"),
    ("--planners=cme", "--planners='cme' is not known. Did you mean 'cem'?"),
    pytest.param(
      "--samples=many", "--samples=many must be of type int", marks=pytest.mark.slow
    ),
    pytest.param("--config.a=1", "--config.a", marks=pytest.mark.slow),
  ],
)
def test_wrong_flags_are_refused_with_one_sentence(flag, message):
  what = "--what=samples" if "samples" in flag else "--what=planners"
  done = run(what, flag)
  assert done.returncode == 2 and message in done.stderr, done.stderr
  assert "Traceback" not in done.stderr
