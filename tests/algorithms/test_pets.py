"""PETS: trials, data, fits, evaluations and errors."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import (
  default_config,
  init_state,
  list_algorithms,
  make_algorithm,
  make_evaluation,
  make_step,
)
from mbrl_jax.algorithms.pets import Config, FitConfig, ModelConfig, PlannerConfig
from mbrl_jax.envs import make_env
from mbrl_jax.models import make_ensemble

LENGTH = 10
MODEL = ModelConfig(members=2, hidden=(16,), weight_decay=(0.0, 0.0))
PLANNER = PlannerConfig(
  iterations=2, horizon=4, particles=4, settings={"samples": 20, "elites": 4}
)
CONFIG = Config(
  trials=3, model=MODEL, planner=PLANNER, fit=FitConfig(epochs=10, learning_rate=1e-2)
)


def pendulum():
  return make_env("pendulum", episode_length=LENGTH)


def run(env, config, calls, seed=0, steps=5, seeds=None):
  algorithm = make_algorithm("pets", env.spec, config)
  start = lambda key: init_state(algorithm, env, key)
  key = jax.random.key(seed)
  if seeds:
    state = jax.vmap(start)(jnp.stack([jax.random.key(s) for s in seeds]))
  else:
    state = start(key)
  step = make_step(algorithm, env, steps=steps, seeds=len(seeds) if seeds else None)
  history = []
  for _ in range(calls):
    state, metrics = step(state)
    history.append(jax.device_get(metrics))
  return state, history, step


@pytest.fixture(scope="module")
def trained():
  return run(pendulum(), CONFIG, 6)


@pytest.mark.slow
def test_random_trials_come_first_and_each_trial_ends_with_a_fit(trained):
  state, history, step = trained
  random = np.concatenate([h["info"]["random"] for h in history])
  np.testing.assert_array_equal(random, [1.0] * LENGTH + [0.0] * 2 * LENGTH)
  assert [float(h["update"]["ran"]) for h in history] == [0, 1, 0, 1, 0, 1]
  done = np.concatenate([h["done"] for h in history])
  np.testing.assert_array_equal(np.flatnonzero(done), [9, 19, 29])
  assert state.rollout.episodes == 3 and state.steps == 30
  assert step._cache_size() == 1


@pytest.mark.optimised
def test_transitions_are_consistent_and_stored_in_order(trained):
  state, history, _ = trained
  buffer, env = state.learn.buffer, pendulum()
  assert buffer.size == 30 and buffer.capacity == 40
  together = jax.tree.map(lambda *x: np.concatenate(x), *[h["transition"] for h in history])
  chex.assert_trees_all_equal(jax.tree.map(lambda x: x[:30], buffer.data), together)
  inside = np.arange(30) % LENGTH != LENGTH - 1
  np.testing.assert_array_equal(
    together.obs[1:][inside[:-1]], together.next_obs[:-1][inside[:-1]]
  )
  # next_obs of an episode's last step is not the observation after the reset
  assert (np.abs(together.obs[LENGTH] - together.next_obs[LENGTH - 1]) > 1e-4).any()
  np.testing.assert_array_equal(together.truncated, ~inside)
  assert not together.terminated.any()
  rewards = jax.vmap(env.spec.reward)(together.obs, together.action, together.next_obs)
  np.testing.assert_allclose(rewards, together.reward, rtol=1e-5, atol=1e-6)
  total = np.concatenate([h["episode_return"] for h in history])[LENGTH - 1 :: LENGTH]
  np.testing.assert_allclose(total, together.reward.reshape(3, LENGTH).sum(1), rtol=1e-5)


def test_fitting_reduces_the_loss_of_the_model(trained):
  spec, data = pendulum().spec, trained[0].learn.buffer.data
  inputs = jnp.concatenate([data.obs, data.action], axis=1)[None, :30].repeat(2, 0)
  targets = (data.next_obs - data.obs)[None, :30].repeat(2, 0)
  model = make_ensemble(MODEL.kind, MODEL.members, MODEL.hidden)
  loss = lambda params: model.loss(params, inputs, targets, jnp.ones((2, 30)))[0]
  fresh = make_algorithm("pets", spec, CONFIG).init(jax.random.key(0)).learn.params
  normalized = trained[0].learn.params._replace(network=fresh.network)
  assert loss(trained[0].learn.params) < loss(normalized) - 0.1


def test_the_same_seed_gives_the_same_run_bit_for_bit(trained):
  again, *_ = run(pendulum(), CONFIG, 6)
  chex.assert_trees_all_equal(trained[0], again)


def test_the_initial_state_may_be_donated():
  env = pendulum()
  algorithm = make_algorithm("pets", env.spec, CONFIG)
  state = init_state(algorithm, env, jax.random.key(0))
  moved = jax.jit(lambda state: state._replace(steps=state.steps + 1), donate_argnums=0)(state)
  assert moved.steps == 1


@pytest.mark.slow
def test_chunks_of_steps_do_not_change_the_data(trained):
  # The key is split per fit, not per call.
  state, _, _ = run(pendulum(), CONFIG, 2, steps=LENGTH)
  np.testing.assert_allclose(
    state.learn.buffer.data.obs[: 2 * LENGTH],
    trained[0].learn.buffer.data.obs[: 2 * LENGTH],
    atol=1e-3,
  )


@pytest.mark.slow
def test_vmapped_seeds_equal_single_runs(trained):
  together, *_ = run(pendulum(), CONFIG, 4, seeds=[0, 1])
  assert together.steps.shape == (2,)
  for field in ("obs", "action", "reward"):
    batched = getattr(together.learn.buffer.data, field)[0, : 2 * LENGTH]
    alone = getattr(trained[0].learn.buffer.data, field)[: 2 * LENGTH]
    np.testing.assert_allclose(batched, alone, rtol=2e-3, atol=2e-3)
  actions = together.learn.buffer.data.action
  assert not np.allclose(actions[0], actions[1])


def test_evaluations_are_deterministic_and_compiled_once(trained):
  state, _, _ = trained
  env = pendulum()
  algorithm = make_algorithm("pets", env.spec, CONFIG)
  evaluate, params = make_evaluation(algorithm, env, episodes=2), algorithm.params(state)
  first, second = (evaluate(params, jax.random.key(7)) for _ in range(2))
  assert first["return"].shape == (2,) and first["pose"].shape[:2] == (2, LENGTH)
  np.testing.assert_array_equal(first["return"], second["return"])
  np.testing.assert_allclose(first["return"], first["transition"].reward.sum(1), rtol=1e-5)
  assert evaluate._cache_size() == 1
  assert first["return"][0] != first["return"][1]


@pytest.mark.slow
def test_predictions_of_all_particles_are_reported():
  config = dataclasses.replace(CONFIG, log_predictions=True)
  _, history, _ = run(pendulum(), config, 3)
  prediction = history[-1]["info"]["prediction"]
  assert prediction.shape == (5, PLANNER.horizon + 1, PLANNER.particles, 3)
  first = history[-1]["transition"].obs[:, None, :]
  np.testing.assert_array_equal(prediction[:, 0], np.broadcast_to(first, (5, 4, 3)))
  assert prediction[:, -1].std(axis=1).min() > 0  # particles disagree


@pytest.mark.slow
@pytest.mark.parametrize(
  "model, planner",
  [
    ({"kind": "D", "propagation": "E", "members": 5}, {}),
    ({"kind": "P", "propagation": "MM"}, {}),
    ({"kind": "DE", "propagation": "DS"}, {"name": "random_shooting"}),
    ({"kind": "PE", "propagation": "TS1"}, {"name": "icem", "iterations": 1}),
    ({"kind": "GP", "propagation": "E", "inducing_points": 8}, {"replan_every": 2}),
  ],
  ids=["D-E", "P-MM", "DE-DS-random", "PE-TS1-icem", "GP-E-repeat"],
)
def test_kinds_and_planners_combine(model, planner):
  config = dataclasses.replace(
    CONFIG,
    model=dataclasses.replace(MODEL, **model),
    planner=dataclasses.replace(PLANNER.select(planner.get("name", "cem")), **planner),
  )
  state, history, _ = run(pendulum(), config, 2, steps=LENGTH)
  assert np.isfinite(history[-1]["transition"].obs).all()
  assert history[-1]["info"]["nonfinite"].sum() == 0
  assert history[-1]["update"]["ran"] == 1.0
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.learn.params))


@pytest.mark.parametrize(
  "part, changes, message",
  [
    ("model", {"kind": "pe"}, r"model.kind='pe' is not known[.] Did you mean 'PE'"),
    ("model", {"propagation": "TS2"}, "Did you mean"),
    ("model", {"kind": "P"}, "'P' has one net"),
    ("planner", {"particles": 5}, "planner.particles=5 do not divide among slices=2"),
    ("planner", {"name": "cemm"}, "planner.name='cemm' is not known. Did you mean 'cem'"),
    (
      "planner",
      {"settings": {"samples": 20, "elites": 50}},
      "planner.elites=50 exceed planner.samples=20",
    ),
    ("planner", {"name": "mppi"}, "planner.elites is no setting of mppi: it has samples, temp"),
    ("planner", {"settings": {"alpha": "x"}}, "planner.alpha='x' is not of the right type"),
    ("fit", {"learning_rate": 0.0}, r"fit\.learning_rate=0.0 must be positive"),
    (None, {"init_trials": 0}, "init_trials=0 must be positive"),
  ],
)
def test_invalid_configs_are_rejected(part, changes, message):
  if part is not None:
    changes = {part: dataclasses.replace(getattr(CONFIG, part), **changes)}
  config = dataclasses.replace(CONFIG, **changes)
  with pytest.raises(ValueError, match=message):
    make_algorithm("pets", pendulum().spec, config)


def test_algorithms_are_found_by_name():
  assert "pets" in list_algorithms() and default_config("pets") == Config()
  with pytest.raises(ValueError, match=r"algo='pest' is not known[.] Did you mean 'pets'"):
    make_algorithm("pest", pendulum().spec)
  with pytest.raises(ValueError, match="config must be a"):
    make_algorithm("pets", pendulum().spec, {"trials": 3})
