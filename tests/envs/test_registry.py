"""Tests the contracts of every registered task, and the errors of ``make_env``."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import ActionNoise, Task, list_envs, make_env
from mbrl_jax.types import EnvState, Transition

POSITION = [0]
ADD_UP = {
  **dict.fromkeys(("ant", "halfcheetah", "hopper", "humanoid", "walker2d"), POSITION),
  "halfcheetah_pets": POSITION,
  "leg2r": [7],  # the number of steps
  "stochlite": [8],  # the position
}
"""Entries of observations that models do not get and that change by what they do get."""


class Made(NamedTuple):
  """A task with compiled functions, shared by all tests."""

  env: Task
  reset: Callable
  step: Callable
  traces: list  # one entry each time that step is traced


@pytest.fixture(scope="module", params=list_envs())
def made(request):
  env, traces = make_env(request.param), []

  def step(*args):
    traces.append(None)
    return env.step(*args)

  return Made(env, jax.jit(env.reset), jax.jit(step), traces)


def test_list_is_sorted_and_complete():
  assert list_envs() == sorted(list_envs())
  assert {"cartpole", "linear_quadratic", "pendulum"} <= set(list_envs())


def test_shapes_and_types(made):
  env, spec = made.env, made.env.spec
  state = made.reset(jax.random.key(0))
  assert isinstance(state, EnvState)
  state, transition = made.step(state, jnp.zeros(spec.action_dim), jax.random.key(1))
  assert isinstance(transition, Transition)
  observed = jax.eval_shape(env.observe, state.physics)
  for obs in (state.obs, transition.obs, transition.next_obs, observed):
    assert (obs.shape, obs.dtype) == ((spec.obs_dim,), jnp.float32)
  assert (transition.reward.shape, transition.reward.dtype) == ((), jnp.float32)
  for flag in (transition.terminated, transition.truncated):
    assert (flag.shape, flag.dtype) == ((), jnp.bool_)
  assert state.steps.dtype == jnp.int32 and state.steps == 1
  assert jax.eval_shape(env.pose, state).ndim == 1


def test_a_step_keeps_shapes_and_dtypes_for_scan(made):
  env = made.env
  before = jax.eval_shape(env.reset, jax.random.key(0))
  action = jnp.zeros(env.spec.action_dim)
  after = jax.eval_shape(lambda s: env.step(s, action, jax.random.key(0))[0], before)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), before) == jax.tree.map(
    lambda x: (x.shape, x.dtype), after
  )
  assert not any(leaf.weak_type for leaf in jax.tree.leaves(before))


def test_one_trace_serves_all_steps(made):
  state, size = made.reset(jax.random.key(0)), made.env.spec.action_dim
  for i in range(3):
    state, _ = made.step(state, np.full(size, 0.1 * i, np.float32), jax.random.key(i))
  # a new state and one that a step returned, actions of numpy and of jax
  assert len(made.traces) == 1


@pytest.mark.slow
def test_vmap_equals_a_loop(made):
  keys = jax.random.split(jax.random.key(0), 3)
  actions = jax.random.normal(jax.random.key(1), (3, made.env.spec.action_dim))
  looped = [made.step(made.reset(k), a, k)[1] for k, a in zip(keys, actions, strict=True)]
  looped = jax.tree.map(lambda *x: np.stack(x), *looped)
  batched = jax.jit(jax.vmap(lambda k, a: made.env.step(made.env.reset(k), a, k)[1]))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
    batched(keys, actions),
    looped,
  )


def test_eager_equals_compiled():
  for name in ("pendulum", "cartpole", "leg2r"):
    env, key = make_env(name), jax.random.key(0)
    action = 0.5 * jnp.asarray(env.spec.action_high)
    run = lambda key, env=env, action=action: env.step(env.reset(key), action, key)[1]
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
      run(key),
      jax.jit(run)(key),
    )


def test_transitions_agree_with_reward_termination_and_decode_of_the_spec(made):
  """On a real transition, because a task's memory follows from the rest."""
  spec, action = made.env.spec, 0.5 * jnp.asarray(made.env.spec.action_high)
  _, t = made.step(made.reset(jax.random.key(0)), action, jax.random.key(1))

  @jax.jit
  def evaluate(t):
    args = t.obs, t.action, t.next_obs
    target = spec.target(t.obs, t.next_obs)
    return spec.reward(*args), spec.terminated(*args), target, spec.decode(t.obs, target)

  reward, terminated, target, decoded = evaluate(t)
  np.testing.assert_allclose(t.reward, reward, rtol=1e-5, atol=1e-5)
  assert t.terminated == terminated and target.shape == t.obs.shape
  np.testing.assert_allclose(decoded, t.next_obs, rtol=1e-5, atol=1e-5)


def test_what_models_do_not_see_is_predicted_as_a_change_only_where_it_adds_up(made):
  """A change of an unseen velocity is its next value minus something that no model knows."""
  spec = made.env.spec
  obs = jax.random.uniform(jax.random.key(0), (spec.obs_dim,), minval=0.1, maxval=0.9)
  seen = jnp.abs(jax.jit(jax.jacobian(spec.encode))(obs)).sum(0) > 0
  changes = jnp.diagonal(jax.jit(jax.jacobian(spec.target))(obs, obs + 0.1)) != 0
  found = np.flatnonzero(changes & ~seen).tolist()
  assert found == ADD_UP.get(spec.name, []), "use absolute_targets"


def test_actions_are_clipped_for_the_physics_only(made):
  state, key = made.reset(jax.random.key(0)), jax.random.key(1)
  edge = jnp.asarray(made.env.spec.action_high)
  _, far = made.step(state, edge + 5, key)
  np.testing.assert_array_equal(far.next_obs, made.step(state, edge, key)[1].next_obs)
  np.testing.assert_array_equal(far.action, edge + 5)


def test_a_nan_action_gives_nan(made):
  action = jnp.full(made.env.spec.action_dim, jnp.nan)
  _, t = made.step(made.reset(jax.random.key(0)), action, jax.random.key(1))
  assert np.isnan(t.reward) and np.isnan(t.next_obs).any()


def test_episode_length_truncates():
  env = make_env("pendulum", episode_length=3)
  state, flags = env.reset(jax.random.key(0)), []
  for _ in range(4):
    state, t = env.step(state, jnp.zeros(1), jax.random.key(0))
    flags.append(bool(t.truncated))
  assert env.spec.episode_length == 3
  assert flags == [False, False, True, True]


def test_action_noise_acts_on_the_physics_and_is_not_observed():
  quiet, noisy = make_env("pendulum"), make_env("pendulum", action_noise=0.5)
  assert isinstance(noisy, ActionNoise) and noisy.spec.name == "pendulum"
  state, action = quiet.reset(jax.random.key(0)), jnp.array([0.3])
  keys = jax.random.split(jax.random.key(1), 4000)
  t = jax.vmap(lambda k: noisy.step(state, action, k)[1])(keys)
  _, clean = quiet.step(state, action, keys[0])
  np.testing.assert_array_equal(t.action, np.full((4000, 1), 0.3, np.float32))
  np.testing.assert_allclose(t.reward, clean.reward, rtol=1e-6)
  applied = (np.asarray(t.next_obs[:, 2]) - float(state.obs[2])) / 0.05
  applied = (applied - 15 * float(state.obs[1])) / 3
  np.testing.assert_allclose(applied.mean(), 0.3, atol=0.03)
  np.testing.assert_allclose(applied.std(), 0.5, rtol=0.05)


def test_action_noise_is_clipped_to_the_bounds():
  noisy = make_env("pendulum", action_noise=100.0)
  state = noisy.reset(jax.random.key(0))
  keys = jax.random.split(jax.random.key(1), 200)
  speeds = jax.vmap(lambda k: noisy.step(state, jnp.zeros(1), k)[1].next_obs[2])(keys)
  assert np.ptp(speeds) == pytest.approx(2 * 2 * 3 * 0.05, rel=1e-4)


@pytest.mark.parametrize(
  ("name", "physics", "overrides", "message"),
  [
    ("cartpol", "auto", {}, r"name='cartpol'.*'cartpole'.*pendulum"),
    ("cartpole", "mujco", {}, r"physics='mujco'.*'mujoco'.*'mjx'"),
    ("pendulum", "mjx", {}, r"physics='mjx'.*'auto', 'analytic'"),
    (
      "pendulum",
      "auto",
      {"episode_lenght": 3},
      r"^episode_lenght is not known.*'episode_length'",
    ),
    ("pendulum", "auto", {"problem": None}, r"^problem is not known"),
    ("pendulum", "auto", {"episode_length": 0}, r"episode_length=0 must be positive"),
    ("pendulum", "auto", {"action_noise": -1.0}, r"action_noise=-1.0 must"),
    ("pendulum", "auto", {"action_noise": float("nan")}, r"action_noise=nan must"),
  ],
)
def test_make_env_rejects(name, physics, overrides, message):
  with pytest.raises(ValueError, match=message):
    make_env(name, physics, **overrides)
