"""``--init_policy``: a run starts with another run's policy, or refuses in one sentence."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import init_policy, job, run_settings
from experiments.command_line.cli import UsageError
from mbrl_jax.algorithms import registry
from mbrl_jax.algorithms.parts.gaussian_actor import (
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
  reset_acting,
)
from mbrl_jax.algorithms.parts.policy_warm_start import policy_warm_start
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.ops.normalize import identity_normalizer
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.types import Algorithm, Budget, TrainState


@dataclasses.dataclass(frozen=True)
class Config:
  """An algorithm that does not learn.

  Attributes:
    steps: of the run.
    policy: its policy.
  """

  steps: int = 40
  policy: PolicyConfig = dataclasses.field(default_factory=lambda: PolicyConfig(hidden=(4,)))


class Learn(NamedTuple):
  policy: Any
  scaling: Any


@in_single_precision
def make_still(spec, config):
  """Makes the algorithm."""
  actor = make_gaussian_actor(spec, config.policy)

  def init(key, envs=1):
    policy_key, key = jax.random.split(key)
    learn = Learn(actor.policy.init(policy_key), identity_normalizer(actor.obs_dim))
    return TrainState(learn, actor.initial_carry(envs), None, key, jnp.zeros((), jnp.int32))

  params = lambda state: PolicyParams(*state.learn, jnp.zeros((), bool))
  return Algorithm(
    init=init,
    params=params,
    act=actor.act,
    reset=reset_acting,
    observe=lambda state, transitions: state,
    update=lambda state: (state, {"ran": jnp.zeros(())}),
    budget=Budget({"steps": config.steps}, "steps", steps=config.steps, chunk=10),
    deploy=actor.deploy,
    plans=False,
    warm_start=policy_warm_start(params, lambda learn, policy, scaling: Learn(policy, scaling)),
  )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
  monkeypatch.setitem(registry._ALGORITHMS, "still", (Config, make_still))


def build(reference="", algo="still", env="linear_quadratic", **changed):
  made = {
    "algo": algo, "env": env, "preset": "cpu", "physics": "auto", "seed": 0, "seeds": 1,
    "env_overrides": {}, "config_overrides": {}, "init_policy": str(reference), **changed,
  }  # fmt: skip
  return job.build(json.loads(json.dumps(run_settings.make_settings(**made))))


def saved(folder, fitted=False, **changed):
  """Stores checkpoints 10 and 20 of a run, 10 is the best; returns folder and their states.

  If ``fitted``, the model of PETS counts as fitted.
  """
  task = build(**changed)
  created, states = run_folder.create(folder, task.settings), {}
  for step, score in ((10, 2.0), (20, 1.0)):
    state = task.init()
    learn = jax.tree.map(
      lambda x, score=score: x + score if jnp.issubdtype(x.dtype, jnp.floating) else x,
      state.learn,
    )
    if fitted:
      learn = learn._replace(fitted=jnp.ones((), bool))
    states[step] = state._replace(learn=learn)
    Checkpoints(created.checkpoints).save(step, states[step], score=score)
  return folder, states


def started(task, folder):
  return init_policy.initial_state(task, run_folder.RunFolder(folder))


def assert_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_new_run_starts_with_the_policy_of_the_chosen_checkpoint(tmp_path):
  source, states = saved(tmp_path / "source", seed=3)
  for suffix, step in (("", 20), (":10", 10), (":best", 10)):
    task = build(f"{source}{suffix}")
    assert task.settings["init_policy"] == f"{source}{suffix}"
    state = started(task, tmp_path / "new")
    assert_equal(state.learn, states[step].learn)
    assert state.key == task.init().key and int(state.steps) == 0
  assert "init_policy" not in build().settings
  assert_equal(started(build(), tmp_path / "new").learn, build().init().learn)


def test_a_run_with_a_checkpoint_does_not_load_the_policy_again(tmp_path):
  source, _ = saved(tmp_path / "source")
  begun, _ = saved(tmp_path / "begun", reference=source)
  (source / "config.json").unlink()
  task = job.build_run(run_folder.RunFolder(begun))
  assert_equal(started(task, begun).learn, task.init().learn)


def test_one_seed_warms_all_and_several_seeds_warm_one_by_one(tmp_path):
  single, one = saved(tmp_path / "one")
  double, two = saved(tmp_path / "two", seeds=2)
  learn = started(build(single, seeds=2), tmp_path / "new").learn
  assert_equal(learn, jax.tree.map(lambda x: jnp.stack([x, x]), one[20].learn))
  assert_equal(started(build(double, seeds=2, seed=7), tmp_path / "new").learn, two[20].learn)
  for seeds in (1, 3):
    with pytest.raises(UsageError, match=rf"number of seeds is 2 in that run and {seeds} in"):
      init_policy.find(build(double, seeds=seeds))


def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path):
  source, _ = saved(tmp_path / "source")
  sac = run_folder.create(tmp_path / "sac", build(algo="sac").settings).path
  empty = run_folder.create(tmp_path / "empty", build().settings).path
  (tmp_path / "other").mkdir()
  wide = {"config_overrides": {"policy.hidden": "(8,)"}}
  refused = [
    (build(tmp_path / "nowhere"), r"There is no folder .*nowhere"),
    (build(tmp_path / "other"), r"is not the folder of a run"),
    (build(empty), r"empty has no checkpoint"),
    (build(f"{source}:15"), r"has no checkpoint of step 15; there are \[10, 20\]"),
    (build(source, env="pendulum"), r"number of observed values is 2 in that run and 3 in"),
    (build(source, **wide), r"--config\.policy\.hidden is \(4,\) in that run and \(8,\) in"),
    (build(source, algo="sac"), r"sac, the algorithm of this run, takes no policy of another"),
  ]
  Checkpoints(sac / "checkpoints").save(1, {"w": jnp.ones(1)})
  refused.append(
    (build(sac), r"must act by the Gaussian policy of npg, .* or dagger; dagger makes")
  )
  for task, message in refused:
    with pytest.raises(UsageError, match=message) as error:
      init_policy.find(task)
    text = str(error.value)
    assert text.startswith(f"--init_policy={task.settings['init_policy']}")
    assert "\n" not in text and text.count(". ") == 0, text


PLANNED = {"model.hidden": "(8,)", "planner.samples": "20", "planner.horizon": "2"}
DETERMINISTIC = {
  "model.kind": "D", "model.members": "1", "model.propagation": "E", "planner.particles": "1",
  "planner.name": "random_shooting", "planner.iterations": "1", "model.activation": "relu",
  "model.weight_decay": "(0.0,)", "model.normalize_targets": "true", "trials": "1",
}  # fmt: skip


def dagger(reference, **changed):
  config = {**PLANNED, "dataset": "none.npz", "policy.hidden": "(4,)", **changed}
  return build(reference, "dagger", config_overrides=config)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
  """A run of PETS whose planner DAgger can imitate."""
  config = {**PLANNED, **DETERMINISTIC}
  folder = tmp_path_factory.mktemp("runs") / "pets"
  return saved(folder, fitted=True, algo="pets", config_overrides=config)


def test_dagger_takes_the_planner_of_another_run_and_needs_one(planned):
  source, states = planned
  task = dagger(f"{source}:10")
  found = init_policy.find(task)
  state = init_policy._warm(task, jax.jit(task.algorithm.init)(jax.random.key(1)), found)
  assert_equal(state.learn.expert.model, states[10].learn.params)
  with pytest.raises(UsageError) as error:
    init_policy.find(dagger(""))
  assert str(error.value) == (
    "--init_policy is missing: dagger imitates the planner of another run, of mbmf or pets. "
    "Give its folder: python -m experiments.train --algo=dagger --env=linear_quadratic "
    "--init_policy=RUN"
  )


def test_a_planner_whose_model_is_not_fitted_is_refused(tmp_path):
  config = {**PLANNED, **DETERMINISTIC}
  source, _ = saved(tmp_path / "pets", algo="pets", config_overrides=config)
  task = dagger(f"{source}:10")
  found = init_policy.find(task)
  state = jax.jit(task.algorithm.init)(jax.random.key(1))
  with pytest.raises(UsageError, match=r"pets:10: its model is not fitted yet at step 10"):
    init_policy._warm(task, state, found)


def test_what_dagger_cannot_imitate_is_refused(planned, tmp_path):
  source, _ = planned
  policy, _ = saved(tmp_path / "policy")
  refused = [
    (dagger(policy), r"must act by a planner over a learned model"),
    (
      dagger(source, **{"model.hidden": "(9,)"}),
      r"model\.hidden is \(8,\) in that run and \(9,",
    ),
    (dagger(source, **{"model.activation": "swish"}), r"model\.activation is relu in that run"),
    (
      build(source),
      r"must act by the Gaussian policy .* dagger makes one that imitates a planner",
    ),
  ]
  for task, message in refused:
    with pytest.raises(UsageError, match=message):
      init_policy.find(task)


def test_another_encoding_of_observations_of_equal_size_is_refused(tmp_path):
  source, _ = saved(tmp_path / "source", env="pendulum")
  task = build(source, env="pendulum")
  spec = task.env.spec._replace(encode=lambda obs: jnp.concatenate([obs, obs]))
  other = task._replace(algorithm=make_still(spec, task.config))
  with pytest.raises(UsageError, match=r"layer_0\.kernel is \[3, 4\] there and \[6, 4\] here"):
    init_policy.find(other)
