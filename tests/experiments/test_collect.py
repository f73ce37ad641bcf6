"""Recording of datasets: random actions, exploration, and a file that training reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from programs import TINY, program

from experiments import collect
from experiments.command_line import cli
from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.storage.dataset import load_dataset

TASK = ("--env=linear_quadratic", "--env.episode_length=5")


def collected(*arguments, fails=False):
  """Calls the program in this process; returns the message of a ``UsageError``."""
  values, dotted = flags.FlagValues(), {"config": {}, "env": {}}
  collect.define(values)
  values(cli.split(["collect", *map(str, arguments)], dotted))
  if not fails:
    assert collect.main(values, dotted) == 0
    return None
  with pytest.raises(cli.UsageError) as error:
    collect.main(values, dotted)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_exploration_is_that_of_training_without_warm_up():
  algorithm = make_algorithm("sac", make_env("pendulum").spec)
  state = algorithm.init(jax.random.key(0))
  assert state.carry[0] > 0  # uniform actions left
  params, left = collect.exploring(algorithm).deploy(algorithm.params(state))
  assert not params.greedy and left == 0
  act = lambda seed: algorithm.act(params, left, jnp.ones(3), jax.random.key(seed))
  assert act(0)[0] != act(1)[0] and act(0)[2]["random"] == 0


def test_random_actions_of_a_task_are_a_dataset(tmp_path, capsys):
  out = tmp_path / "new" / "data.npz"
  collected(*TASK, "--policy=random", "--episodes=13", f"--out={out}")
  spec = make_env("linear_quadratic").spec
  data = load_dataset(str(out), spec)
  assert len(data.reward) == 13 * 5
  assert "65 transitions of 13 episodes of random actions" in capsys.readouterr().out
  bound = spec.action_high[0]
  assert 0.8 * bound < np.abs(data.action).max() <= bound and data.action.std() > bound / 2
  starts = data.obs.reshape(13, 5, -1)[:, 0]
  assert len(np.unique(starts, axis=0)) == 13, "batches repeat their episodes"
  first = out.read_bytes()
  collected(*TASK, "--policy=random", "--episodes=13", f"--out={out}")
  assert out.read_bytes() == first
  collected(*TASK, "--policy=random", "--episodes=13", "--seed=1", f"--out={out}")
  assert out.read_bytes() != first


def test_zero_actions_are_zero(tmp_path):
  out = tmp_path / "zero.npz"
  collected(*TASK, "--policy=zero", "--transitions=6", f"--out={out}")
  with np.load(out) as data:
    assert len(data["action"]) >= 6 and not data["action"].any()


def test_too_few_episodes_above_a_return_are_reported(tmp_path, capsys):
  out = tmp_path / "data.npz"
  collected(*TASK, "--episodes=20", f"--out={out}")
  with np.load(out) as data:
    totals = np.sort(data["reward"].reshape(20, 5).sum(1))
  bound = float(totals[-3]) - 1e-4
  few = [*TASK, "--episodes=10", "--tries=20", f"--min_return={bound}", f"--out={out}"]
  collected(*few)
  assert "3 of 20 episodes reached a return of" in capsys.readouterr().out
  with np.load(out) as data:
    np.testing.assert_allclose(np.sort(data["reward"].reshape(3, 5).sum(1)), totals[-3:])
  out.unlink()
  assert "3 of 20 episodes reached" in collected(*few, "--strict", fails=True)
  assert "0 of 20 episodes reached" in collected(*few, "--min_return=1e9", fails=True)
  assert not out.exists()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "Give --run, a run folder, or --env"),
    (["--env=hoper"], "--env='hoper' is not known. Did you mean 'hopper'?"),
    (["--env=pendulum", "--run=runs/a"], "--run and --env exclude each other"),
    (["--env=pendulum", "--greedy"], "--greedy requires --run"),
    (["--env=pendulum", "--config.steps=3"], "--config.steps: with --env"),
    (["--run=runs/a", "--policy=random"], "--policy requires --env"),
    (["--run=runs/a", "--env.reset=data"], "--env.reset: the settings of a run cannot"),
    (["--env=pendulum", "--episodes=3", "--transitions=9"], "exclude each other"),
    (["--env=pendulum", "--min_return=3"], "--min_return requires --episodes"),
    (["--env=pendulum", "--episodes=3", "--strict"], "--strict requires --min_return"),
    (
      ["--env=pendulum", "--episodes=3", "--min_return=0", "--tries=2"],
      "--tries=2 is less than --episodes=3",
    ),
  ],
)
def test_wrong_usage_is_refused_with_one_sentence(arguments, message):
  assert message in collected(*arguments, fails=True)


@pytest.mark.slow
def test_a_recorded_file_is_a_dataset(tmp_path):
  run, out = tmp_path / "run", tmp_path / "data.npz"
  program("train", *TINY, f"--logdir={run}")
  text = program("collect", f"--run={run}", "--transitions=150", f"--out={out}")
  data = load_dataset(str(out), make_env("linear_quadratic").spec)
  assert f"{len(data.reward)} transitions" in text and len(data.reward) >= 150
  assert (data.next_obs[0] == data.obs[1]).all()
