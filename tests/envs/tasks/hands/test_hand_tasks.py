"""Tests the tasks of the 24-joint hand: pen, Baoding balls, cube and pen spin."""

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.hands import baoding
from mbrl_jax.types import EnvState

OBJECT = slice(24, 27)  # position of the object in qpos


@pytest.fixture(scope="module")
def envs():
  names = ("hand_pen", "baoding", "cube", "pen_spin")
  return {name: make_env(name, "mujoco") for name in names}


@pytest.fixture(scope="module")
def steps(envs):
  return {name: jax.jit(env.step) for name, env in envs.items()}


@functools.cache
def resets(env):
  return jax.jit(jax.vmap(env.reset))


def many(env, n):
  """Returns states after ``n`` resets."""
  return resets(env)(jax.random.split(jax.random.key(0), n))


def begin(env, qpos=None, seed=0):
  """Returns the state after a reset, with other positions if given."""
  state = jax.tree.map(lambda x: x[seed], many(env, 400))
  if qpos is None:
    return state
  fresh = env.physics.init(jnp.float32(qpos), jnp.zeros(env.model.nv))
  physics = fresh._replace(memory=state.physics.memory)
  return EnvState(physics, env.observe(physics), state.steps)


def run(step, state, actions):
  """Steps until termination; returns the last state and all transitions."""
  transitions = []
  for action in actions:
    state, transition = step(state, jnp.float32(action), jax.random.key(0))
    transitions.append(transition)
    if transition.terminated:
      break
  return state, transitions


@pytest.mark.parametrize("name", ["hand_pen", "baoding", "cube", "pen_spin"])
def test_objects_rest_in_the_idle_hand(envs, steps, name):
  env, state = envs[name], begin(envs[name])
  idle = np.zeros((round(0.7 / env.spec.dt), env.spec.action_dim))
  early, before = run(steps[name], state, idle)
  late, after = run(steps[name], early, idle)
  assert not any(t.terminated for t in before + after)
  palm = env.model.body("palm").ipos + env.model.body("forearm").pos + [0, 0.29, 0]
  places = np.stack([early.physics.qpos[OBJECT], late.physics.qpos[OBJECT]])
  assert np.linalg.norm(places[0] - palm) < 0.1
  assert np.linalg.norm(np.diff(places, axis=0)) < 3e-3


@pytest.mark.parametrize(
  ("name", "floor"), [("hand_pen", 0.075), ("baoding", 0.06), ("cube", 0.14)]
)
def test_a_dropped_object_terminates(envs, steps, name, floor):
  env = envs[name]
  qpos = np.array(begin(env).physics.qpos)
  qpos[OBJECT] = [0.3, 0, 0.2]  # where there are two balls the other one stays
  heights, state, ended = [], begin(env, qpos), False
  while not ended:
    assert len(heights) < 40
    state, (transition,) = run(steps[name], state, [np.zeros(env.spec.action_dim)])
    heights.append(float(state.physics.qpos[26]))
    ended = bool(transition.terminated)
  assert heights[-1] < floor and (np.array(heights[:-1]) >= floor).all()
  assert not transition.truncated


@pytest.mark.parametrize("name", ["hand_pen", "baoding", "cube"])
def test_nan_observations_terminate(envs, name):
  spec = envs[name].spec
  obs = jnp.full(spec.obs_dim, jnp.nan)
  assert spec.terminated(obs, jnp.zeros(spec.action_dim), obs)


# ------------------------------------------------------------------- pen in hand


def test_pen_observation_and_reward(envs, steps):
  env = envs["hand_pen"]
  actions = 0.5 * np.random.default_rng(0).uniform(-1, 1, (20, 24))
  state, transitions = run(steps["hand_pen"], begin(env, seed=3), actions)
  obs, physics = np.asarray(state.obs), state.physics
  axis = Rotation.from_quat(physics.qpos[27:], scalar_first=True).as_matrix()[:, 2]
  place = np.float32([0, -0.2, 0.25])
  goal = np.asarray(physics.memory)
  parts = [
    physics.qpos[:27],
    physics.qvel[24:],
    axis,
    goal,
    physics.qpos[24:27] - place,
    axis - goal,
  ]
  np.testing.assert_allclose(obs, np.concatenate(parts), atol=1e-6)
  distance = np.linalg.norm(physics.qpos[24:27] - place)
  assert transitions[-1].reward == pytest.approx(axis @ goal - distance, abs=1e-5)


@pytest.mark.parametrize(
  ("offset", "cosine", "height", "bonus"),
  [
    (0.07, 0.96, 0.2, 60),
    (0.07, 0.93, 0.2, 10),
    (0.07, 0.89, 0.2, 0),
    (0.08, 0.99, 0.2, 0),
    (0.07, 0.93, 0.07, 5),
    (0.3, 0.0, 0.07, -5),
  ],
)
def test_pen_bonuses(envs, offset, cosine, height, bonus):
  spec = envs["hand_pen"].spec
  sine = np.sqrt(1 - cosine**2)
  obs = np.zeros(45, np.float32)
  obs[26], obs[33:36], obs[36:39], obs[39] = height, [sine, 0, cosine], [0, 0, 1], offset
  value = spec.reward(obs, jnp.zeros(24), jnp.asarray(obs))
  assert value == pytest.approx(cosine - offset + bonus, abs=1e-5)
  assert spec.success.solved(obs) == (bonus == 60) and spec.success[1:] == (21, 0)


def test_pen_goals_are_uniform_within_a_radian(envs):
  env = envs["hand_pen"]
  states = many(env, 400)
  goals = np.asarray(states.obs[:, 36:39], np.float64)
  np.testing.assert_allclose(np.linalg.norm(goals, axis=1), 1, atol=1e-6)
  angles = np.stack([np.arctan2(-goals[:, 1], goals[:, 2]), np.arcsin(goals[:, 0])])
  assert np.abs(angles).max() < 1 + 1e-5
  np.testing.assert_allclose(
    np.quantile(angles, [0.25, 0.5, 0.75], axis=1).T, [[-0.5, 0, 0.5]] * 2, atol=0.1
  )
  drawn = Rotation.from_quat(jax.vmap(env.pose)(states)[:, -4:], scalar_first=True)
  np.testing.assert_allclose(drawn.as_matrix()[:, :, 2], goals, atol=1e-5)


def test_a_closing_hand_turns_the_pen(envs, steps):
  """The side of the little finger pushes, so the pen yaws in the palm."""
  env = envs["hand_pen"]
  push = np.zeros(24)
  push[[15, 16, 17]], push[[3, 4, 5, 7, 8]] = 1.0, -1.0
  idle, _ = run(steps["hand_pen"], begin(env), np.zeros((60, 24)))
  moved, _ = run(steps["hand_pen"], begin(env), np.tile(push, (60, 1)))
  assert idle.obs[33:36] @ moved.obs[33:36] < np.cos(0.2)
  assert not env.spec.terminated(moved.obs, push, moved.obs)


# ----------------------------------------------------------------- Baoding balls


def test_baoding_goals_rotate_and_move_with_the_palm(envs, steps):
  env = envs["baoding"]
  state = begin(env)
  ends = np.stack([state.obs[36:38], state.obs[38:40]])
  data = mujoco.MjData(env.model)
  lift = np.zeros(24)
  lift[1] = 0.2  # the wrist bends, and the palm with the goals turns
  for k, actions in ((0, 0), (1, 1), (20, 19)):
    state, _ = run(steps["baoding"], state, np.tile(lift, (actions, 1)))
    data.qpos[:] = state.physics.qpos
    mujoco.mj_kinematics(env.model, data)
    angles = 2 * np.pi * k / 60 + np.array([0.75, -0.25]) * np.pi
    local = np.stack(
      [0.005 + 0.02 * np.cos(angles), 0.055 + 0.036 * np.sin(angles), 0.07 + 0 * angles]
    )
    world = data.body("palm").xpos + local.T @ data.body("palm").xmat.reshape(3, 3).T
    np.testing.assert_allclose(state.obs[36:], world[:, :2].ravel(), atol=1e-5)
    np.testing.assert_allclose(env.pose(state)[38:44], world.ravel(), atol=1e-5)
  assert np.linalg.norm(ends[0] - ends[1]) > 0.05


@pytest.mark.parametrize("as_released", [False, True])
def test_baoding_observation(as_released):
  env = make_env("baoding", "mujoco", as_released=as_released)
  rng = np.random.default_rng(0)
  qvel = rng.normal(size=36).astype("f4")
  physics = begin(env).physics._replace(qvel=jnp.asarray(qvel))
  obs, qpos = np.asarray(env.observe(physics)), np.asarray(physics.qpos)
  np.testing.assert_array_equal(obs[:24], qpos[:24])
  np.testing.assert_array_equal(obs[24:27], qpos[24:27])
  np.testing.assert_array_equal(obs[30:33], qpos[31:34])
  tail = qvel[-14:]  # the release uses these as the balls' velocities
  expected = (tail[:3], tail[7:10]) if as_released else (qvel[24:27], qvel[30:33])
  np.testing.assert_array_equal(obs[27:30], expected[0])
  np.testing.assert_array_equal(obs[33:36], expected[1])


@pytest.mark.parametrize(
  ("ball1", "ball2", "wrist", "penalty", "released"),
  [
    (0.2, 0.2, 0.1, 0, 0),
    (0.2, 0.2, 0.2, -10, -10),
    (0.05, 0.2, 0.1, -500, -510),
    (0.2, 0.05, 0.2, -510, -510),
  ],
)
def test_baoding_reward(ball1, ball2, wrist, penalty, released):
  obs = np.random.default_rng(0).normal(size=40).astype("f4")
  obs[[26, 32, 1]] = ball1, ball2, wrist
  away = np.linalg.norm(obs[24:26] - obs[36:38]) + np.linalg.norm(obs[30:32] - obs[38:])
  for as_released, extra in ((False, penalty), (True, released)):
    value = baoding.reward(obs, np.zeros(24), jnp.asarray(obs), as_released)
    assert value == pytest.approx(-5 * away + extra, rel=1e-5)
  assert baoding.terminated(obs, None, obs) == (penalty <= -500)


# -------------------------------------------------------------------------- cube


def test_cube_observation_and_reward(envs, steps):
  env = envs["cube"]
  actions = 0.5 * np.random.default_rng(1).uniform(-1, 1, (6, 24))
  state, transitions = run(steps["cube"], begin(env), actions)
  qpos, obs = np.asarray(state.physics.qpos, np.float64), np.asarray(state.obs)
  angles = Rotation.from_quat(qpos[27:], scalar_first=True).as_euler("XYZ")
  place = qpos[24:27] - [0, -0.02, 0.24]
  parts = [qpos[:24], place, angles, state.physics.qvel[24:], state.physics.memory]
  np.testing.assert_allclose(obs, np.concatenate(parts), atol=1e-5)
  away = np.linalg.norm(angles - state.physics.memory)
  assert np.linalg.norm(angles) > 0.05
  assert transitions[-1].reward == pytest.approx(-7 * away, rel=1e-4)
  low = jnp.asarray(obs).at[26].set(-0.11)
  assert env.spec.reward(low, actions[0], low) == pytest.approx(-7 * away - 1000, rel=1e-5)
  assert env.spec.terminated(low, actions[0], low)


def test_cube_goals_are_quarter_turns_either_way(envs):
  env = envs["cube"]
  states = many(env, 400)
  goals, counts = np.unique(np.asarray(states.obs[:, 36:]), axis=0, return_counts=True)
  assert {tuple(g) for g in goals} == {(1.5, 0, 0), (-1.5, 0, 0), (0, 0, 1.5), (0, 0, -1.5)}
  assert counts.min() > 60
  drawn = Rotation.from_quat(jax.vmap(env.pose)(states)[:, -4:], scalar_first=True)
  wished = Rotation.from_euler("XYZ", states.obs[:, 36:])
  assert (drawn * wished.inv()).magnitude().max() < 1e-5


# ------------------------------------------------------------------ spinning pen


def test_fingertip_joints_follow_their_neighbours(envs, steps):
  model = envs["pen_spin"].model
  tips = [model.joint(f"{f}J0").qposadr[0] for f in ("FF", "MF", "RF", "LF")]
  middles = [model.joint(f"{f}J1").qposadr[0] for f in ("FF", "MF", "RF", "LF")]
  for action, low, high in ((1.0, 1.3, 1.65), (-1.0, -0.05, 0.15)):
    state, _ = run(steps["pen_spin"], begin(envs["pen_spin"]), np.full((25, 20), action))
    qpos = np.asarray(state.physics.qpos)
    assert np.abs(qpos[tips] - qpos[middles]).max() < 0.124 + 0.03
    assert (qpos[middles] > low).all() and (qpos[middles] < high).all()


def test_spin_reward(envs):
  obs = np.random.default_rng(0).normal(size=61).astype("f4")
  obs[57:] /= np.linalg.norm(obs[57:])
  tips = Rotation.from_quat(obs[57:], scalar_first=True).apply([[0, 0, 0.1], [0, 0, -0.1]])
  slope = 15 * abs(tips[0, 2] - tips[1, 2])
  other = make_env("pen_spin", "mujoco", direction=-1, alpha=0.5)
  for env, worth in ((envs["pen_spin"], 1.0), (other, -0.5)):
    value = env.spec.reward(obs, np.zeros(20), jnp.asarray(obs))
    assert value == pytest.approx(worth * obs[51] - slope, rel=1e-4)
    assert not env.spec.terminated(obs, np.zeros(20), obs)


def test_spin_observation_holds_positions_velocities_and_pose(envs):
  physics = begin(envs["pen_spin"]).physics
  obs = envs["pen_spin"].observe(physics)
  parts = [physics.qpos[:24], physics.qvel, physics.qpos[24:]]
  np.testing.assert_array_equal(obs, np.concatenate(parts))


def test_spin_resets_differ_and_lie_in_the_hand(envs):
  states = many(envs["pen_spin"], 400)
  pens = np.asarray(states.obs[:, 54:57])
  assert 30 <= len(np.unique(pens, axis=0)) <= 32
  assert (np.abs(pens[:, :2]) < 0.04).all() and (pens[:, 2] > 0.12).all()


def test_spin_rejects_an_unknown_direction():
  with pytest.raises(ValueError, match=r"direction=0.*1, -1"):
    make_env("pen_spin", direction=0)
