"""from_gymnasium and to_gymnasium with Gymnasium itself."""

import dataclasses
import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_gymnasium import Walk, episode

from mbrl_jax import from_gymnasium, make_env, to_gymnasium
from mbrl_jax.envs.adapters.host import spaces


@pytest.fixture(scope="module")
def gymnasium():
  return pytest.importorskip("gymnasium")


def test_pendulum_equals_gymnasium_s(gymnasium):
  env = make_env("gymnasium:Pendulum-v1", g=9.0, episode_length=7)
  assert env.spec.dt == 0.05 and env.spec.episode_length == 7
  state, t = jax.jit(functools.partial(episode, env, steps=7))(jax.random.key(0))
  theirs = gymnasium.make("Pendulum-v1", g=9.0)
  obs, _ = theirs.reset(seed=int(state.physics.seed))
  np.testing.assert_array_equal(t.obs[0], obs)
  for i in range(7):
    obs, gain, _, _, _ = theirs.step(np.asarray(t.action[i]))
    np.testing.assert_array_equal(t.next_obs[i], obs)
    np.testing.assert_allclose(t.reward[i], gain, rtol=1e-6)
  assert t.truncated.tolist() == [False] * 6 + [True]
  # and our pendulum's reward is its reward
  ours = jax.vmap(make_env("pendulum").spec.reward)(t.obs, t.action, t.next_obs)
  np.testing.assert_allclose(ours, t.reward, atol=1e-5)


def test_mujoco_environments_resume_at_the_same_positions_and_velocities(gymnasium):
  old, new = (from_gymnasium("InvertedPendulum-v5") for _ in range(2))
  state, key = old.reset(jax.random.key(0)), jax.random.key(1)
  for _ in range(5):
    state, _ = old.step(state, jnp.array([0.2]), key)
  expected, found = (
    old.step(state, jnp.array([0.1]), key),
    new.step(state, jnp.array([0.1]), key),
  )
  jax.tree.map(np.testing.assert_array_equal, expected, found)
  np.testing.assert_array_equal(
    found[1].next_obs, np.float32(np.r_[new.pose(found[0]), found[1].next_obs[2:]])
  )
  assert new.model.nq == 2 and not found[1].truncated


def test_workers_give_the_results_of_this_process(gymnasium):
  keys = jax.random.split(jax.random.key(0), 3)
  found = []
  for workers in (0, 2):
    env = make_env("gymnasium:InvertedPendulum-v5", workers=workers, episode_length=9)
    found.append(jax.jit(jax.vmap(functools.partial(episode, env)))(keys))
    env.close()
  jax.tree.map(np.testing.assert_array_equal, *found)


def test_ids_registered_by_this_program_work_in_workers(gymnasium):
  place = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
  names = [f"mbrl_jax_test/{name}-v0" for name in ("Swing", "Local", "Main")]
  points = [place, lambda **options: None, "__main__:Swing"]
  for name, point in zip(names, points, strict=True):
    gymnasium.register(name, entry_point=point, max_episode_steps=9)
  try:
    env = from_gymnasium(names[0], workers=1)
    assert env.reset(jax.random.key(0)).obs.shape == (3,) and env.spec.episode_length == 9
    env.close()
    for name in names[1:]:
      with pytest.raises(ValueError, match="workers=1 needs an id, or a function"):
        from_gymnasium(name, workers=1)
  finally:
    for name in names:
      del gymnasium.registry[name]


def test_a_discrete_gymnasium_environment(gymnasium):
  env = make_env("gymnasium:CartPole-v1")
  assert env.spec.action_dim == 2 and env.spec.episode_length == 500
  _, t = jax.jit(functools.partial(episode, env, steps=60))(jax.random.key(0))
  assert t.terminated[-1] and not t.truncated.any()


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("Pendulm-v1", {}, "Pendulm"),
    ("Pendulum-v1", {"gravity": 3}, "gravity"),
  ],
)
def test_gymnasium_s_errors_are_value_errors(gymnasium, name, options, message):
  with pytest.raises(ValueError, match=message):
    from_gymnasium(name, **options)


def test_every_action_is_an_element_of_gymnasium_s_space(gymnasium):
  box, kinds = gymnasium.spaces.Box, (np.float16, np.float32, np.float64, np.uint8, np.int64)
  sides = [(0, 1), (0, 2.4), (0, 0.1), (1e-3, 6.3), (-0.7, 1.1), (-2, 2)]
  some = [gymnasium.spaces.Discrete(4, start=-2), box(-0.4, 0.4, (), np.float64)]
  for kind in kinds:
    whole = np.issubdtype(kind, np.integer)
    fits = [s for s in sides if not whole or (s[0] % 1 == 0 <= s[0] and s[1] % 1 == 0)]
    some += [box(low, high, (2, 3), kind) for low, high in fits]
  rng = np.random.default_rng(0)
  for space in some:
    actions = spaces.action_box(space, "one_hot")
    drawn = rng.uniform(actions.low - 1, actions.high + 1, (100, len(actions.low)))
    for point in (actions.low, actions.high, np.nan * actions.low, *np.float32(drawn)):
      assert space.contains(actions.decode(point)), (space, point)


def test_flat_observations_have_the_size_of_their_space(gymnasium):
  kinds = gymnasium.spaces
  nested = kinds.Dict(
    grid=kinds.Box(0, 255, (2, 2), np.uint8),
    pair=kinds.Tuple([kinds.Discrete(3, start=1), kinds.MultiDiscrete([[2, 3], [4, 5]])]),
    bits=kinds.MultiBinary([2, 2]),
  )
  for seed in range(5):
    nested.seed(seed)
    seen = nested.sample()
    choice = np.arange(1, 4) == seen["pair"][0]
    want = [np.ravel(x) for x in (seen["grid"], choice, seen["pair"][1], seen["bits"])]
    flat = spaces.flatten(nested, seen)
    np.testing.assert_array_equal(flat, np.concatenate(want))
    assert flat.size == spaces.observation_size(nested) == 4 + 4 + 3 + 4


@pytest.mark.parametrize("kind", ["Text", "Sequence", "Graph", "OneOf"])
def test_observations_without_a_fixed_shape_are_refused(gymnasium, kind):
  part = gymnasium.spaces.Discrete(2)
  arguments = {"Text": (3,), "Sequence": (part,), "Graph": (part, None), "OneOf": ([part],)}
  space = getattr(gymnasium.spaces, kind)(*arguments[kind])
  with pytest.raises(ValueError, match=f"must be made of Box, Discrete.*{kind}"):
    from_gymnasium(Walk.fresh(observation_space=gymnasium.spaces.Dict(a=part, b=space)))


def test_vector_environments_are_refused(gymnasium):
  make = lambda: gymnasium.make_vec("CartPole-v1", num_envs=2)
  for source in (make, make()):
    with pytest.raises(ValueError, match="is a vector environment"):
      from_gymnasium(source)


TASKS = ("pendulum", "inverted_pendulum", "hopper", "cartpole", "linear_quadratic", "reacher7")


@pytest.mark.parametrize("name", TASKS)
def test_to_gymnasium_passes_gymnasium_s_checker(gymnasium, name):
  from gymnasium.utils.env_checker import check_env

  picture = np.zeros((4, 5, 3), np.uint8)
  env = to_gymnasium(make_env(name), "rgb_array", draw=lambda pose: picture.copy())
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for known in (".*infinity. This is probably too", ".*symmetric and normalized space"):
      warnings.filterwarnings("ignore", known)
    check_env(env)


def test_returned_arrays_are_copies(gymnasium):
  env = to_gymnasium(make_env("pendulum"))
  first, _ = env.reset(seed=0)
  second, _, _, _, _ = env.step(np.zeros(1))
  want = env.step(np.zeros(1))[0]
  first += 1
  second *= 0
  env.reset(seed=0)
  env.step(np.zeros(1))
  np.testing.assert_array_equal(env.step(np.zeros(1))[0], want)
  assert not np.array_equal(env.reset(seed=0)[0], first)


@pytest.mark.parametrize(("dt", "fps"), [(0.02, 50), (0.3, 3), (0.7, 1), (2.0, 1), (60.0, 1)])
def test_render_fps_is_at_least_one(gymnasium, dt, fps):
  env = make_env("pendulum")
  slow = dataclasses.replace(env, spec=env.spec._replace(dt=dt))
  assert to_gymnasium(slow).metadata == {"render_modes": [], "render_fps": fps}
  assert to_gymnasium(slow, draw=print).metadata["render_modes"] == ["rgb_array"]


def test_spec_make_keeps_the_time_limit(gymnasium):
  env = to_gymnasium(make_env("pendulum", episode_length=3))
  assert env.spec.id == "mbrl_jax/pendulum" and env.spec.max_episode_steps == 3
  again = env.spec.make()
  np.testing.assert_array_equal(again.reset(seed=4)[0], env.reset(seed=4)[0])
  ends = [again.step(np.zeros(1, np.float32))[2:4] for _ in range(3)]
  assert ends == [(False, False)] * 2 + [(False, True)]
  assert from_gymnasium(env).spec.episode_length == 3


def test_actions_of_another_shape_are_refused(gymnasium):
  env = to_gymnasium(make_env("pendulum"))
  env.reset(seed=0)
  for action in (0.5, np.zeros(2), np.zeros((1, 1))):
    with pytest.raises(ValueError, match=r"the action must have shape \(1,\), got"):
      env.step(action)


def test_to_gymnasium_takes_the_same_steps(gymnasium):
  env = make_env("pendulum", episode_length=4)
  theirs = to_gymnasium(env)
  first = [theirs.reset(seed=3)[0] for _ in range(2)]
  np.testing.assert_array_equal(*first)
  assert not np.array_equal(theirs.reset()[0], first[0])
  theirs.reset(seed=3)
  state = theirs._state
  for i in range(4):
    action = np.float32([0.5 * i])
    obs, gain, terminated, truncated, _ = theirs.step(action)
    state, t = env.step(state, action, jax.random.key(0))
    np.testing.assert_allclose(obs, t.next_obs, rtol=1e-6)
    assert gain == pytest.approx(float(t.reward), rel=1e-6)
    assert (terminated, truncated) == (False, i == 3)


def test_rendering_uses_mujoco_or_the_caller_s_function(gymnasium):
  with pytest.raises(ValueError, match=r"'pendulum' has no MuJoCo model.*pass draw"):
    to_gymnasium(make_env("pendulum"), "rgb_array")
  with pytest.raises(ValueError, match=r"render_mode='human'.*'rgb_array'"):
    to_gymnasium(make_env("cartpole"), "human")
  picture = np.zeros((4, 5, 3), np.uint8)
  env = to_gymnasium(make_env("pendulum"), "rgb_array", draw=lambda pose: picture + len(pose))
  assert env.render() is None
  env.reset(seed=0)
  assert (env.render() == 1).all() and to_gymnasium(make_env("pendulum")).render() is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stable_baselines_trains_on_to_gymnasium(gymnasium):
  sb3 = pytest.importorskip("stable_baselines3")
  env = to_gymnasium(make_env("pendulum"))
  model = sb3.SAC("MlpPolicy", env, learning_starts=50, seed=0, device="cpu")
  model.learn(300)
  action, _ = model.predict(env.reset(seed=0)[0], deterministic=True)
  assert env.action_space.contains(action)
