"""Actions held for several steps against a plain loop, and rewards along a real trajectory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.action_repeat import (
  close_actions,
  no_open_actions,
  repeated_reward,
  repeated_termination,
)
from mbrl_jax.algorithms.parts.gaussian_actor import (
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
  masked_scaling,
  reset_acting,
)
from mbrl_jax.envs import make_env
from mbrl_jax.envs.restart import choose_rows
from mbrl_jax.types import Transition


@pytest.mark.parametrize("envs", [1, 3])
@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_steps_of_an_action_are_merged(envs, repeat):
  """As sampled by the policy that holds them; episodes end at any step."""
  spec = make_env("pendulum").spec
  actor = make_gaussian_actor(spec, PolicyConfig(hidden=(4,)), action_repeat=repeat)
  params = PolicyParams(
    actor.policy.init(jax.random.key(0)), masked_scaling(actor, ()), jnp.zeros((), bool)
  )
  act = jax.jit(jax.vmap(actor.act, (None, 0, 0, 0)))
  close = jax.jit(close_actions, static_argnums=3)
  rng, carry = np.random.default_rng(envs), actor.initial_carry(envs)
  opened = no_open_actions(envs, spec.obs_dim)
  held, merged = [None] * envs, []
  for t in range(25):
    obs, next_obs = (np.float32(rng.normal(size=(envs, 3))) for _ in range(2))
    keys = jax.random.split(jax.random.key(t), envs)
    before = np.asarray(carry.left)
    action, carry, _ = act(params, carry, jnp.asarray(obs), keys)
    reward = np.float32(rng.normal(size=envs))
    terminated, truncated = rng.random((2, envs)) < 0.15
    batch = Transition(jnp.asarray(obs), action, *map(jnp.asarray, (reward, next_obs)),
                       jnp.asarray(terminated), jnp.asarray(truncated))  # fmt: skip
    opened, whole, complete = close(opened, carry, batch, repeat)
    for i in range(envs):
      if before[i] == 0 or held[i] is None:  # a new action
        sample = actor.policy.sample(
          params.policy, actor.observe(params.scaling, jnp.asarray(obs[i])), keys[i]
        )
        held[i] = {"obs": obs[i], "reward": 0.0, "count": 0, "sampled": np.asarray(sample)}
      held[i]["reward"] += reward[i]
      held[i]["count"] += 1
      np.testing.assert_allclose(carry.sampled[i], held[i]["sampled"], rtol=1e-5, atol=1e-6)
      bounded = 2 * np.clip(held[i]["sampled"], -1, 1)
      np.testing.assert_allclose(action[i], bounded, rtol=1e-5, atol=1e-5)
      over = held[i]["count"] == repeat or terminated[i] or truncated[i]
      assert bool(complete[i]) == over
      if over:
        row = jax.tree.map(lambda x, i=i: np.asarray(x[i]), whole)
        np.testing.assert_array_equal(row.obs, held[i]["obs"])
        np.testing.assert_array_equal(row.next_obs, next_obs[i])
        np.testing.assert_allclose(row.reward, held[i]["reward"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(row.action, held[i]["sampled"], rtol=1e-5, atol=1e-6)
        assert (row.terminated, row.truncated) == (terminated[i], truncated[i])
        merged.append(held[i]["count"])
        held[i] = None
    done = jnp.asarray(terminated | truncated)
    carry = choose_rows(done, reset_acting(params, carry), carry)
  assert set(merged) == set(range(1, repeat + 1))


@pytest.fixture(scope="module")
def walk():
  """Returns the hopper's task, and steps of short episodes whose actions last four steps."""
  env = make_env("hopper", "mujoco")
  rng, rows = np.random.default_rng(0), []
  reset, step = jax.jit(env.reset), jax.jit(env.step)
  for episode in range(10):
    state, action = reset(jax.random.key(episode)), rng.uniform(-1.0, 1.0, (2, 3))
    for t in range(8):
      state, transition = step(state, jnp.float32(action[t // 4]), jax.random.key(1))
      rows.append(jax.tree.map(np.asarray, transition))
  return env.spec, rows


@pytest.mark.parametrize("repeat", [2, 4])
def test_speed_and_action_cost_of_the_hopper_are_exact(walk, repeat):
  """The sum along the real trajectory, as long as no step but the last may be unhealthy."""
  spec, rows = walk
  total = jax.jit(repeated_reward(spec.reward, repeat))
  checked = 0
  for t in range(0, len(rows), repeat):
    part = rows[t : t + repeat]
    if any(row.terminated for row in part):
      continue
    exact = sum(float(row.reward) for row in part)
    found = total(part[0].obs, part[0].action, part[-1].next_obs)
    # positions of about 1 m in single precision, over 0.008 s
    np.testing.assert_allclose(found, exact, atol=repeat * 1e-4)
    checked += 1
  assert checked > 15


def test_the_termination_of_the_hopper_is_found_inside_an_action(walk):
  spec, rows = walk
  ended = jax.jit(repeated_termination(spec.terminated, 4))
  healthy = rows[0].obs
  fallen = healthy.copy()
  fallen[1] = 0.6  # crosses 0.7 m on the way
  action = rows[0].action
  assert not ended(healthy, action, healthy)
  assert ended(healthy, action, fallen) and ended(fallen, action, fallen)
  # from fallen to healthy: the points inside the action count, the first observation does not
  bound = lambda obs: repeated_termination(spec.terminated, 2)(obs, action, healthy)
  assert bound(fallen) == bool((0.6 + healthy[1]) / 2 <= 0.7)
  plain = repeated_termination(spec.terminated, 1)
  assert plain is spec.terminated and repeated_reward(spec.reward, 1) is spec.reward


def test_rewards_between_both_observations_are_those_of_the_line():
  """Against a loop, with a reward that is not linear."""
  reward = lambda obs, action, next_obs: jnp.sum(obs * next_obs) + action[0] * next_obs[1]
  rng = np.random.default_rng(0)
  obs, next_obs = rng.normal(size=(2, 3))
  action, expected = np.array([0.3]), 0.0
  for k in range(3):
    a, b = (obs + (next_obs - obs) * share / 3 for share in (k, k + 1))
    expected += a @ b + action[0] * b[1]
  found = repeated_reward(reward, 3)(*(jnp.float32(x) for x in (obs, action, next_obs)))
  np.testing.assert_allclose(found, expected, rtol=1e-5)
