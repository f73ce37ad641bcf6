"""from_playground; the fake environment needs neither Playground nor MJX."""

import functools
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax import from_playground, make_env


class State(SimpleNamespace):
  """Playground's state."""


jax.tree_util.register_pytree_node(
  State,
  lambda s: (tuple(vars(s).values()), tuple(vars(s))),
  lambda names, values: State(**dict(zip(names, values, strict=True))),
)


class Slide:
  """A point on a line with the interface of ``MjxEnv``."""

  action_size, dt, mj_model = 1, 0.02, None
  _config = {"episode_length": 8, "action_repeat": 2}  # noqa: RUF012

  def reset(self, rng):
    return self._state(jax.random.normal(rng, (1,)), rng)

  def step(self, state, action):
    return self._state(state.data["qpos"] + 0.1 * action, state.info["rng"])

  def _state(self, qpos, rng):
    data = _Data(qpos=qpos)
    done = (qpos[0] > 100).astype(jnp.float32)
    obs = {"state": qpos, "privileged_state": jnp.r_[qpos, 1.0]}
    return State(data=data, obs=obs, reward=-(qpos[0] ** 2), done=done, info={"rng": rng})


class _Data(dict):
  qpos = property(lambda self: self["qpos"])


jax.tree_util.register_pytree_node(
  _Data, lambda d: (tuple(d.values()), tuple(d)), lambda k, v: _Data(zip(k, v, strict=True))
)


def test_episode_length_and_action_repeat_come_from_its_config():
  env = from_playground(Slide())
  assert env.spec.name == "playground:Slide"
  assert (env.spec.dt, env.spec.episode_length, env.spec.obs_dim) == (0.04, 4, 3)
  state = env.reset(jax.random.key(0))
  after, t = jax.jit(env.step)(state, jnp.array([0.5]), jax.random.key(0))
  np.testing.assert_allclose(env.pose(after) - env.pose(state), [0.1], rtol=1e-5)
  np.testing.assert_allclose(
    t.reward, -((state.obs[-1] + 0.05) ** 2 + (state.obs[-1] + 0.1) ** 2), rtol=1e-5
  )
  assert not t.terminated and not t.truncated


def test_parts_reward_and_episode_length_can_be_given():
  reward = lambda obs, action, next_obs: next_obs[0]
  env = from_playground(Slide(), parts=("state",), reward=reward, episode_length=1)
  _, t = env.step(env.reset(jax.random.key(0)), jnp.zeros(1), jax.random.key(0))
  assert t.reward == t.next_obs[0] and t.truncated and t.next_obs.shape == (1,)


def test_overrides_need_a_name():
  with pytest.raises(
    ValueError, match="'sim_dt' is an override for environments given by name"
  ):
    from_playground(Slide(), sim_dt=0.1)


def test_a_missing_library_names_its_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, "mujoco_playground", None)
  with pytest.raises(ImportError, match=r'pip install "mbrl_jax\[playground\]"'):
    make_env("playground:CartpoleBalance")


# --------------------------------------------------------------------------
# With Playground itself
# --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def playground():
  return pytest.importorskip("mujoco_playground")


@pytest.fixture(scope="module")
def balance(playground):
  return make_env("playground:CartpoleBalance", episode_length=3)


def test_unknown_names_and_overrides_suggest_playground_s(playground):
  with pytest.raises(ValueError, match=r"env='CartpoleBalanc'.*'CartpoleBalance'"):
    make_env("playground:CartpoleBalanc")
  with pytest.raises(ValueError, match=r"^sim_td is not known.*'sim_dt'"):
    make_env("playground:CartpoleBalance", sim_td=0.1)


def test_the_specification_of_a_registered_environment(balance):
  spec = balance.spec
  assert (spec.obs_dim, spec.action_dim, spec.dt) == (5, 1, 0.01) and balance.model.nq == 2
  assert from_playground("CartpoleBalance").spec.episode_length == 1000
  assert balance.env._config.impl == "jax"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_adapted_playground_environment_equals_playground_stepped_directly(balance):
  key, action = jax.random.key(0), jnp.array([0.3])
  step = jax.jit(functools.partial(balance.step, key=key))
  state = jax.jit(balance.reset)(key)
  theirs = jax.jit(balance.env.reset)(jax.random.key_data(key))
  np.testing.assert_allclose(state.obs, theirs.obs, rtol=1e-6)
  their_step, ends = jax.jit(balance.env.step), []
  for _ in range(3):
    state, t = step(state, action)
    theirs = their_step(theirs, action)
    np.testing.assert_allclose(t.next_obs, theirs.obs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(t.reward, theirs.reward, rtol=1e-5)
    ends.append(bool(t.truncated))
  assert ends == [False, False, True]
  np.testing.assert_array_equal(balance.pose(state), state.physics.data.qpos)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_example_s_reward_equals_playground_s(balance):
  from experiments.examples.foreign_tasks import cartpole_reward

  state, step = jax.jit(balance.reset)(jax.random.key(1)), jax.jit(balance.step)
  for i in range(40):
    state, t = step(state, jnp.array([0.8 + 0.2 * np.sin(i)]), jax.random.key(0))
    ours = cartpole_reward(t.obs, t.action, t.next_obs)
    np.testing.assert_allclose(ours, t.reward, rtol=1e-4)
  assert t.next_obs[1] < 0.99, "it never moved"
