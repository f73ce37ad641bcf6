"""from_gymnasium with fake environments; needs no Gymnasium."""

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from fake_gymnasium import Box, Choice, Walk, episode

from mbrl_jax import from_gymnasium
from mbrl_jax.envs.adapters.host.pool import Instance, Pool


def reward(obs, action, next_obs):
  return -(next_obs[0] ** 2)


def by_hand(kind, seed, actions):
  """Steps an environment in plain Python; returns the expected transitions."""
  env, rows = kind(), []
  obs, _ = env.reset(seed=seed)
  for action in actions:
    after, gain, terminated, truncated, _ = env.step(np.clip(action, -1, 1))
    rows.append((obs, gain, after, terminated, truncated))
    obs = after
    if terminated or truncated:
      break
  return [np.array(column, np.float32) for column in zip(*rows, strict=True)]


def test_an_episode_equals_the_environment_stepped_directly():
  kind = Walk.fresh()
  env = from_gymnasium(kind)
  spec = env.spec
  assert (spec.obs_dim, spec.action_dim, spec.dt, spec.episode_length) == (2, 1, 0.05, 12)
  state, t = jax.jit(functools.partial(episode, env))(jax.random.key(0))
  obs, gain, after, terminated, truncated = by_hand(kind, int(state.physics.seed), t.action)
  n = len(gain)
  for ours, theirs in [
    (t.obs, obs),
    (t.reward, gain),
    (t.next_obs, after),
    (t.terminated, terminated),
    (t.truncated, truncated),
  ]:
    np.testing.assert_array_equal(np.float32(ours)[:n], theirs)
  assert bool(t.terminated[n - 1] | t.truncated[n - 1])


def test_the_state_stays_the_same_after_the_end():
  kind = Walk.fresh(limit=0.0)  # terminates in its first step
  env = from_gymnasium(kind)
  state, t = jax.jit(functools.partial(episode, env))(jax.random.key(0))
  assert kind.steps == 1 and state.steps == 1
  assert t.terminated.all() and not t.truncated.any()
  assert (t.reward[1:] == 0).all() and (t.next_obs[1:] == t.next_obs[0]).all()


@pytest.mark.optimised
def test_a_batch_uses_one_environment_per_row():
  kind = Walk.fresh()
  env = from_gymnasium(kind)
  keys = jax.random.split(jax.random.key(1), 3)
  together = jax.jit(jax.vmap(functools.partial(episode, env)))(keys)[1]
  assert kind.made == 3 and kind.resets == 4  # one more to determine the shapes
  alone = jax.jit(functools.partial(episode, env))
  for i, key in enumerate(keys):
    same = lambda a, b, i=i: np.testing.assert_array_equal(a[i], b)
    jax.tree.map(same, together, alone(key)[1])


def test_all_calls_come_from_one_thread():
  kind = Walk.fresh()
  env = from_gymnasium(kind)
  jax.block_until_ready(
    jax.jit(jax.vmap(functools.partial(episode, env)))(jax.random.split(jax.random.key(0), 2))
  )
  assert len(kind.threads) == 1


def test_the_time_limit_truncates_with_the_true_final_observation():
  env = from_gymnasium(Walk.fresh(limit=1e9), episode_length=5)
  state, t = jax.jit(functools.partial(episode, env))(jax.random.key(0))
  assert t.truncated.tolist() == [False] * 4 + [True] * 10
  assert t.next_obs[4, 1] == 5 and state.steps == 5 and not t.terminated.any()


def test_user_functions_replace_the_environment_s():
  ended = lambda obs, action, next_obs: next_obs[1] >= 3
  env = from_gymnasium(Walk.fresh(limit=1e9), reward=reward, terminated=ended)
  _, t = jax.jit(functools.partial(episode, env))(jax.random.key(0))
  np.testing.assert_allclose(t.reward[:3], -(t.next_obs[:3, 0] ** 2), rtol=1e-6)
  assert t.terminated.tolist() == [False] * 2 + [True] * 12
  assert env.spec.reward is reward and env.spec.terminated is ended


def test_an_episode_that_only_the_environment_ends_is_truncated():
  env = from_gymnasium(Walk.fresh(limit=0.0), terminated=lambda *_: jnp.zeros((), bool))
  _, t = jax.jit(functools.partial(episode, env))(jax.random.key(0))
  assert t.truncated[0] and not t.terminated[0]


def test_nan_actions_return_nan_and_do_not_reach_the_environment():
  kind = Walk.fresh()
  env = from_gymnasium(kind)
  state, t = env.step(env.reset(jax.random.key(0)), jnp.full(1, jnp.nan), jax.random.key(1))
  assert np.isnan(t.reward) and np.isnan(t.next_obs).all() and kind.steps == 0
  assert np.isnan(env.step(state, jnp.zeros(1), jax.random.key(1))[1].next_obs).all()


@pytest.mark.parametrize(
  ("discrete", "left", "right"), [("one_hot", [0.6, 0.5], [0.1, 0.7]), ("index", [0.4], [0.6])]
)
def test_discrete_actions_and_dictionaries(discrete, left, right):
  env = from_gymnasium(Choice.fresh(noise=0.0), discrete=discrete)
  assert env.spec.obs_dim == 4 + 3
  assert env.spec.action_dim == len(left) and env.spec.action_high.tolist() == [1.0] * len(left)
  state = env.reset(jax.random.key(0))
  start = float(state.obs[0])
  np.testing.assert_array_equal(state.obs[4:], [0, 1, 0])
  for action, change in ((left, -1), (right, 1)):
    _, t = env.step(state, jnp.array(action), jax.random.key(0))
    np.testing.assert_allclose(t.next_obs[:4], np.full(4, start + change), rtol=1e-5)


@pytest.mark.parametrize(
  ("change", "arguments", "message"),
  [
    ({"action_space": Box([-np.inf], [1])}, {}, "finite bounds.*RescaleAction"),
    ({"action_space": object()}, {}, "Box or Discrete"),
    ({"spec": None}, {}, "no time limit.*episode_length=1000"),
    ({}, {"discrete": "onehot"}, "discrete='onehot'.*'one_hot'"),
    ({}, {"timeout": 0}, "timeout=0 must be positive"),
    ({}, {"episode_length": 0}, "episode_length=0 must be positive"),
    ({}, {"gravity": 1}, "'gravity' is an option for gymnasium.make"),
    ({}, {"action_low": 2}, "action_low=.* must be below action_high="),
    ({"observation_space": None}, {}, "observation space must be made of Box"),
    ({"num_envs": 2}, {}, "is a vector environment"),
    ({}, {"reward": lambda o, a, n: n[:1]}, r"reward.* one number, \[\], .*float32 \[1\]"),
    ({}, {"terminated": lambda o, a, n: n[0]}, r"terminated.* one bool, \[\], .*float32 \[\]"),
    ({}, {"reward": lambda o, a, n: None}, "reward.* one number.*None"),
  ],
)
def test_invalid_arguments_are_refused(change, arguments, message):
  with pytest.raises(ValueError, match=message):
    from_gymnasium(Walk.fresh(**change), **arguments)


def test_finite_bounds_can_be_given_for_an_unbounded_space():
  kind = Walk.fresh(action_space=Box([-np.inf], [np.inf]))
  env = from_gymnasium(kind, action_low=-0.5, action_high=1)
  assert (env.spec.action_low, env.spec.action_high) == (-0.5, 1)
  state, key = env.reset(jax.random.key(0)), jax.random.key(1)
  same = [env.step(state, jnp.array([x]), key)[1].next_obs for x in (-0.5, -7.0)]
  np.testing.assert_array_equal(*same)


@pytest.mark.parametrize(
  ("change", "dt"),
  [
    ({"dt": np.float32(0.25)}, 0.25),
    ({"dt": "fast"}, 0.05),
    ({"dt": np.inf}, 0.05),
    ({"metadata": {"render_fps": "high"}}, 1.0),
    ({"metadata": None}, 1.0),
  ],
)
def test_the_control_step_is_the_environment_s_if_it_is_a_number(change, dt):
  assert from_gymnasium(Walk.fresh(**change)).spec.dt == dt


def test_a_model_without_data_is_not_rendered():
  model = mujoco.MjModel.from_xml_string("<mujoco/>")
  env = from_gymnasium(Walk.fresh(model=model, mj_data=mujoco.MjData(model)))
  assert env.model is None
  state = env.reset(jax.random.key(0))
  np.testing.assert_array_equal(env.pose(state), state.obs)


def test_an_invalid_source_is_refused():
  with pytest.raises(ValueError, match="source must be an id, an environment or a function"):
    from_gymnasium(3)


# --------------------------------------------------------------------------
# Restoring states
# --------------------------------------------------------------------------


def test_any_state_can_be_stepped_again():
  """Stepping a state twice, or an older state, gives equal results."""
  kind = Walk.fresh(limit=1e9)
  env = from_gymnasium(kind)
  step, key = jax.jit(env.step), jax.random.key(0)
  first = env.reset(key)
  states, results = [first], []
  for i in range(4):
    state, t = step(states[-1], jnp.array([0.1 * i]), key)
    states.append(state)
    results.append(t)
  for i in (3, 0, 2):
    again = step(states[i], jnp.array([0.1 * i]), key)[1]
    jax.tree.map(np.testing.assert_array_equal, again, results[i])
  both = jax.jit(jax.vmap(env.step, (None, 0, None)))(
    states[2], jnp.array([[0.2], [-0.5]]), key
  )[1]
  np.testing.assert_array_equal(both.next_obs[0], results[2].next_obs)
  assert both.next_obs[1, 0] < both.next_obs[0, 0]


def test_a_new_process_restores_the_episode_by_replay():
  old, new = (
    from_gymnasium(Walk.fresh(limit=1e9)),
    from_gymnasium(kind := Walk.fresh(limit=1e9)),
  )
  state, key = old.reset(jax.random.key(0)), jax.random.key(1)
  for _ in range(3):
    state, _ = old.step(state, jnp.array([0.3]), key)
  expected, found = (
    old.step(state, jnp.array([0.5]), key),
    new.step(state, jnp.array([0.5]), key),
  )
  jax.tree.map(np.testing.assert_array_equal, expected, found)
  assert kind.steps == 4


@pytest.mark.parametrize("case", ["unseeded", "no replay"])
def test_an_episode_that_cannot_be_restored_ends_with_a_real_transition(case):
  kind = Walk.fresh(limit=1e9, seeded=case != "unseeded", noise=0.0)
  old, new = (from_gymnasium(kind, replay=case == "unseeded") for _ in range(2))
  state, key = old.reset(jax.random.key(0)), jax.random.key(1)
  for _ in range(3):
    state, _ = old.step(state, jnp.array([0.3]), key)
  assert state.physics.actions.shape == ((12 if case == "unseeded" else 0), 1)
  after, t = new.step(state, jnp.array([0.5]), key)
  assert t.truncated and not t.terminated and after.physics.ended
  assert t.obs[1] == 0 and t.next_obs[1] == 1, "not the first step of a new episode"
  np.testing.assert_allclose(t.next_obs[0] - t.obs[0], 0.5, atol=1e-6)
  fresh = new.restart(jnp.array(True), after, key)
  _, t = new.step(fresh, jnp.array([0.5]), key)
  assert not t.truncated and t.next_obs[1] == 1


def test_one_instance_serves_one_row_only():
  env = from_gymnasium(Walk.fresh()())
  _, t = jax.jit(functools.partial(episode, env))(jax.random.key(0))
  assert np.isfinite(t.next_obs).all() and env.spec.name == "Walk-v0"
  with pytest.raises(Exception, match="one instance and cannot serve 2 rows"):
    jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 2))


def test_abandoned_instances_are_reused():
  kind = Walk.fresh()
  env = from_gymnasium(kind)
  for i in range(30):
    env.reset(jax.random.key(i))
  assert kind.made <= 8


def test_closing_closes_every_instance():
  closed = []
  kind = Walk.fresh(close=lambda self: closed.append(self))
  env = from_gymnasium(kind)
  jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
  env.close()
  assert len(set(map(id, closed))) == kind.made == 3
  _, t = env.step(env.reset(jax.random.key(0)), jnp.zeros(1), jax.random.key(0))
  assert t.next_obs[1] == 1 and kind.made == 4


def test_the_pool_reuses_the_least_recently_used_instance():
  pool, (a, b, c) = Pool(2), [Instance(i, np.zeros(1), np.zeros(1)) for i in range(3)]
  assert pool.acquire() is None
  pool.put(b"a", a)
  assert pool.acquire() is None
  pool.put(b"b", b)
  assert pool.get(b"a") is a and pool.acquire() is b and pool.get(b"b") is None
  pool.put(b"a", c)  # two in one state: the first is free
  assert pool.acquire() is a and pool.pop(b"a") is c and pool.pop(b"a") is None
