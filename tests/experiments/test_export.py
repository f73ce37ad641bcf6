"""An exported policy acts like its run, in a process without mbrl_jax."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import exported_actions

from experiments import export, job, run_settings
from experiments.command_line import cli
from mbrl_jax.runtime.storage import function_export, run_folder
from mbrl_jax.runtime.storage.checkpoint import Checkpoints

pytest.importorskip("flatbuffers")

SMALL = {
  "sac": {"agent.hidden": "8,8"},
  "pets": {
    "trials": "1",
    "model.hidden": "8",
    "model.weight_decay": "1e-4",
    "model.members": "2",
    "planner.samples": "10",
    "planner.elites": "2",
    "planner.horizon": "3",
    "planner.particles": "2",
  },
}


def saved(path, algo, seeds=1):
  """Saves a run in its initial state; returns its job and the state."""
  settings = run_settings.make_settings(
    algo=algo,
    env="pendulum",
    preset="cpu",
    physics="auto",
    seed=3,
    seeds=seeds,
    env_overrides={},
    config_overrides=SMALL[algo],
  )
  task = job.build(settings)
  folder, state = run_folder.create(path, task.settings), task.init()
  Checkpoints(folder.checkpoints).save(7, state)
  return task, state


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
  """Returns the folder of a run with two seeds, its job and its state."""
  path = tmp_path_factory.mktemp("policy") / "run"
  return path, *saved(path, "sac", seeds=2)


def exported(run, **given):
  """Calls the program in this process; returns its output folder."""
  out = run / "exported"
  defaults = {"run": str(run), "step": None, "best": False, "seed": None, "out": str(out)}
  options = SimpleNamespace(**{**defaults, **given})
  assert export.main(options, {"config": {}, "env": {}}) == 0
  return out


def act_here(task, state, steps):
  """Returns the actions of the algorithm."""
  obs, actions = jax.jit(task.env.reset)(jax.random.key(0)).obs, []
  params, carry = task.algorithm.deploy(task.algorithm.params(state))
  step = jax.jit(task.algorithm.act)
  for i in range(steps):
    key = jax.random.wrap_key_data(np.uint32([0, i]), impl="threefry2x32")
    action, carry, _ = step(params, carry, obs, key)
    actions.append(float(action[0]))
  return np.float32(actions)


def test_the_policy_of_one_of_two_seeds_is_exported(policy):
  path, task, state = policy
  folder = exported(path, seed=4)
  second = jax.tree.map(lambda x: x[1], state)
  alone = np.float32(exported_actions(folder, 2))
  np.testing.assert_allclose(alone, act_here(task, second, 2), rtol=1e-6)
  about = json.loads((folder / "policy.json").read_text())
  assert (about["algo"], about["env"], about["step"]) == ("sac", "pendulum", 7)
  assert about["trained_seed"] == 4 and about["action_high"] == [2.0]
  assert [entry["name"] for entry in about["outputs"]] == ["action", "carry"]
  assert not any("actor" in entry["name"] for entry in about["outputs"]), (
    "parameters are unchanged"
  )
  with pytest.raises(cli.UsageError, match=r"--seed=5 is not known.* 3, 4\."):
    exported(path, seed=5)


@pytest.mark.slow
def test_a_planner_is_exported_with_its_model_and_plan(tmp_path):
  task, state = saved(tmp_path / "run", "pets")
  folder = exported(tmp_path / "run")
  alone = np.float32(exported_actions(folder, 3))
  np.testing.assert_allclose(alone, act_here(task, state, 3), rtol=1e-5)
  assert len(set(alone.tolist())) == 3


def test_keys_become_words_and_unchanged_arrays_are_no_outputs():
  inputs = {"key": jax.random.key(1), "kept": jnp.ones(2), "count": jnp.zeros((), jnp.int32)}

  traced = []

  def function(given):
    traced.append(1)
    drawn = jax.random.uniform(given["key"])
    return {"drawn": drawn, "kept": given["kept"], "count": given["count"] + 1}

  call, arrays, names = function_export.flatten(function, inputs)
  assert names == ["count", "drawn"] and list(arrays) == ["count", "kept", "key"]
  assert arrays["key"].dtype == np.uint32
  traced.clear()
  count, drawn = call(*arrays.values())
  assert traced == [1], "traced more than once for all outputs"
  assert count == 1 and drawn == jax.random.uniform(jax.random.key(1))


def test_the_error_of_a_failed_export_names_the_algorithm(policy, monkeypatch):
  def refuse(*_):
    raise ValueError("a call of the host\nin it")

  monkeypatch.setattr(function_export, "export", refuse)
  with pytest.raises(cli.UsageError, match="sac cannot be exported: a call of the host in"):
    exported(policy[0])
