"""Tests way-points on hand-made paths, and the path-following tasks."""

import itertools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.mbmf import paths, waypoints
from mbrl_jax.envs.tasks.mbmf.waypoints import Weights

CORNER = np.array([(0, 0), (2, 0), (2, 2), (2, 2), (4, 2)], float)
BACK = np.array([(0, 0), (1, 0), (2, 0), (1, 0), (0, 0)], float)
FOLLOWERS = ("swimmer_follow", "ant_follow", "halfcheetah_follow")
AGENTS = dict(zip(FOLLOWERS, (paths.SWIMMER, paths.ANT, paths.HALFCHEETAH), strict=True))


def walk(points, places, as_released=False):
  """Returns the active segments along ``places``, starting at 0."""
  segment, visited = jnp.zeros(()), []
  advance = jax.jit(lambda s, p: waypoints.advance(points, s, p, as_released))
  for place in places:
    segment = advance(segment, jnp.float32(place))
    visited.append(int(segment))
  return visited


def test_progress_and_distance():
  point = jnp.float32([1.5, -0.5])
  assert waypoints.progress(CORNER, jnp.float32(0), point) == pytest.approx(0.75)
  assert waypoints.distance(CORNER, jnp.float32(0), point) == pytest.approx(0.5)
  assert waypoints.progress(CORNER, jnp.float32(1), point) == pytest.approx(-0.25)
  assert waypoints.distance(CORNER, jnp.float32(1), point) == pytest.approx(np.hypot(0.5, 0.5))
  beyond = jnp.float32([5, 2])
  assert waypoints.progress(CORNER, jnp.float32(3), beyond) == pytest.approx(1.5)
  assert waypoints.travelled(CORNER, jnp.float32(3), beyond) == pytest.approx(4.0)
  assert waypoints.travelled(CORNER, jnp.float32(0), point) == pytest.approx(0.75)


def test_repeated_points_give_finite_values():
  for place in ([2.0, 2.0], [1.0, 0.5]):
    values = waypoints.progress(CORNER, jnp.float32(2), jnp.float32(place))
    assert values == 0
    distance = lambda p: waypoints.distance(CORNER, jnp.float32(2), p)
    assert distance(jnp.float32(place)) == pytest.approx(np.hypot(2 - place[0], 2 - place[1]))
    assert np.isfinite(jax.grad(distance)(jnp.float32(place))).all()


def test_segments_follow_a_corner():
  inside = [(1, 0.1), (1.7, 0.2), (1.8, 0.3), (1.9, 1), (2, 1.9), (2, 2.1), (2.5, 2)]
  assert walk(CORNER, inside) == [0, 0, 1, 1, 1, 2, 3]
  outside = [(1.9, -0.1), (2.1, -0.1), (2.1, 0.1)]
  assert walk(CORNER, outside) == [0, 1, 1]


def test_a_path_that_turns_back_is_followed_to_its_end():
  there = [(x, 0.001) for x in (0.5, 0.99, 1.01, 1.5, 1.99, 2.01, 1.5, 1.01, 0.99, 0.5)]
  assert walk(BACK, there) == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
  # the published form turns where both ways are equally near: a segment early
  assert walk(BACK, there, as_released=True)[2:5] == [1, 2, 2]


def test_the_last_segment_stays_active():
  assert walk(CORNER[:2], [(3, 0), (9, 0)]) == [0, 0]
  assert walk(BACK, [(-1, 0)] * 9) == [0] * 9


@pytest.mark.parametrize("points", [CORNER[[0, 1, 2, 4]], BACK])
def test_progress_telescopes(points):
  """The sum of the gains is the distance along the path."""
  ends = itertools.pairwise(points)
  legs = [np.linspace(a, a + 1.03 * (b - a), 40) for a, b in ends]  # a little too far each
  places = np.float32(np.concatenate(legs))
  segments = jnp.float32([0, *walk(points, places)])
  travelled = jax.vmap(lambda s, p: waypoints.travelled(points, s, p))
  ways = travelled(segments[1:], places)
  assert ways[-1] - ways[0] == pytest.approx(len(points) - 1, abs=0.1)
  assert np.diff(ways).max() < 0.2  # no step is paid for more than it goes


@pytest.mark.parametrize(
  ("heading", "segment", "error"),
  [(0.0, 0, 0.0), (0.5, 1, np.pi / 2 - 0.5), (-3.0, 2, np.pi - 3.0), (7.0, 0, 7 - 2 * np.pi)],
)
def test_heading_error(heading, segment, error):
  square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
  found = waypoints.heading_error(square, jnp.float32(segment), jnp.float32(heading))
  assert found == pytest.approx(error, abs=1e-6)


def test_costs_by_hand():
  weights = Weights(3.0, 50.0, 10.0)
  plain = 3 * 0.5 - 50 * 0.1
  swimmer = lambda error, *bends: waypoints.swimmer_cost(
    weights, 0.5, 0.1, jnp.float32(error), jnp.float32(bends)
  )
  assert swimmer(0.2, 0, 1) == pytest.approx(plain + 2)
  assert swimmer(1.1, -1.1, 1.1) == pytest.approx(plain + 20 + 4)
  ant = lambda off, height: waypoints.ant_cost(weights, off, 0.1, height)
  assert ant(0.5, 0.5) == pytest.approx(plain)
  assert ant(2.0, 0.7) == pytest.approx(60 - 5 + 400)
  assert ant(0.5, 0.29) == pytest.approx(plain + 400)
  cheetah = lambda *front: waypoints.halfcheetah_cost(weights, 0.5, 0.1, jnp.float32(front))
  assert cheetah(0.19, -0.1, -0.1) == pytest.approx(plain)
  assert cheetah(0.2, 0.0, -0.1) == pytest.approx(plain + 20)


def test_paths_are_those_of_the_agents():
  assert set(paths.SWIMMER) == {"straight", "left_turn", "right_turn"}
  assert set(paths.ANT) == {"straight", "left_turn", "right_turn", "u_turn"}
  assert set(paths.HALFCHEETAH) == {"straight", "backward", "forward_backward"}
  for known in AGENTS.values():
    for path in known.values():
      assert (np.linalg.norm(np.diff(path.points, axis=0), axis=1) > 0.4).all()
      np.testing.assert_array_equal(path.points[0], 0)
  assert paths.ANT["straight"].points[-1, 0] == pytest.approx(39.9)
  assert paths.HALFCHEETAH["backward"].points[-1, 0] == pytest.approx(-39.5)
  assert len(paths.SWIMMER["right_turn"].points) == 10


@pytest.mark.parametrize("name", FOLLOWERS)
def test_unknown_paths_are_rejected(name):
  with pytest.raises(ValueError, match=r"path='zigzag' is not known.*'straight'"):
    make_env(name, physics="mujoco", path="zigzag")
  other = "u_turn" if name != "ant_follow" else "backward"
  with pytest.raises(ValueError, match=r"Valid choices: '(backward|left_turn)'"):
    make_env(name, physics="mujoco", path=other)
  with pytest.raises(ValueError, match=r"reset='mppi'.*'mpc'"):
    make_env(name, physics="mujoco", reset="mppi")


@pytest.fixture(scope="module", params=FOLLOWERS)
def follower(request):
  return make_env(request.param, physics="mujoco")


def jump(env, state, ahead):
  """Returns the state with the centre of mass at ``ahead [2]`` from the start."""
  agent = env.observe.__self__.agent
  place = state.physics.memory[1:3] + jnp.float32(ahead)
  sensors = state.physics.sensors
  for axis, value in zip(agent.plane, place, strict=True):
    sensors = sensors.at[axis].set(value)
  return state.physics._replace(sensors=sensors)


def test_reward_is_the_negative_cost_of_the_next_state(follower):
  state = follower.reset(jax.random.key(0))
  state, t = jax.jit(follower.step)(state, follower.spec.action_high, jax.random.key(1))
  tail = np.float64(t.next_obs[-3:])
  task = follower.observe.__self__
  com = np.float64(state.physics.sensors)[list(task.agent.plane)] - tail[1:]
  before = np.float64(t.obs[: task.agent.size])[-6:-3][list(task.agent.plane)] - tail[1:]
  weights, body = task.path.weights, np.float64(t.next_obs)
  cost = weights.distance * np.hypot(min(com[0], 0), com[1])  # the path starts along x
  cost -= weights.progress * (com[0] - before[0]) / 0.7
  if follower.spec.name == "swimmer_follow":
    cost += weights.posture * abs(body[2]) + 2 * (np.abs(body[3:5]) > np.pi / 3).sum()
  elif follower.spec.name == "halfcheetah_follow":
    cost += weights.posture * sum(body[6:9] >= [0.2, 0, 0])
  else:
    assert 0.3 < body[31] < 0.67
  assert float(t.reward) == pytest.approx(-cost, rel=1e-3, abs=1e-3)


def test_a_prediction_of_the_body_is_decoded_with_its_segment(follower):
  spec, task = follower.spec, follower.observe.__self__
  obs = follower.reset(jax.random.key(0)).obs
  np.testing.assert_array_equal(obs[-3], 0)
  change = np.zeros(spec.obs_dim, np.float32)
  change[task.agent.size - 6] = 0.75  # past the first way-point, of 0.7 m
  change[-3:] = 9.0  # errors of a model in outputs that are ignored
  moved = spec.decode(obs, change)
  assert moved[-3] == 1
  np.testing.assert_array_equal(moved[-2:], obs[-2:])
  np.testing.assert_array_equal(spec.target(obs, moved)[-3:], 0)
  assert float(spec.reward(obs, jnp.zeros(spec.action_dim), moved)) > 20


def test_models_do_not_get_the_path(follower):
  obs = follower.reset(jax.random.key(0)).obs
  other = obs.at[-3:].set(5.0)
  np.testing.assert_array_equal(follower.spec.encode(obs), follower.spec.encode(other))


def test_the_next_segment_becomes_active_where_the_body_is(follower):
  task = follower.observe.__self__
  state = follower.reset(jax.random.key(0))
  after = jump(follower, state, (0.75, 0.0))
  assert task.update(state.physics, None, after)[0] == 1
  assert task.update(state.physics, None, jump(follower, state, (0.65, 0.0)))[0] == 0


def test_way_points_are_drawn_at_their_positions(follower):
  state = follower.reset(jax.random.key(2))
  task, model = follower.observe.__self__, follower.model
  data, pose = mujoco.MjData(model), np.float64(follower.pose(state))
  data.qpos[:] = pose[: model.nq]
  data.mocap_pos[:] = pose[model.nq : model.nq + 6].reshape(2, 3)
  data.mocap_quat[:] = pose[model.nq + 6 :].reshape(2, 4)
  mujoco.mj_kinematics(model, data)
  path = model.body("path").id
  spheres = [
    i
    for i in range(model.nsite)
    if model.site_bodyid[i] == path and model.site_type[i] == mujoco.mjtGeom.mjGEOM_SPHERE
  ]
  drawn = data.site_xpos[spheres][:, list(task.agent.plane)]
  start = np.float64(state.physics.memory[1:3])
  np.testing.assert_allclose(drawn, start + task.path.points, atol=1e-5)
  ahead = data.body("next").xpos[list(task.agent.plane)]
  np.testing.assert_allclose(ahead, start + task.path.points[1], atol=1e-5)


def test_swimmer_starts_along_the_path():
  env = make_env("swimmer_follow", physics="mujoco", path="right_turn")
  assert env.reset(jax.random.key(0)).obs[2] == pytest.approx(np.pi / 2)
  wild = make_env("swimmer_follow", physics="mujoco", reset="data")
  obs = jax.jit(jax.vmap(wild.reset))(jax.random.split(jax.random.key(0), 200)).obs
  assert np.abs(obs[:, 2]).max() > 3.0
  np.testing.assert_allclose(obs[:, 3:5].std(0), 0.5, rtol=0.15)


def test_as_released():
  env = make_env("ant_follow", physics="mujoco", path="left_turn", as_released=True)
  spec, task = env.spec, env.observe.__self__
  obs = env.reset(jax.random.key(0)).obs
  assert spec.obs_dim == make_env("ant_follow", physics="mujoco").spec.obs_dim + 1
  height = slice(29, 32)
  change = np.zeros(spec.obs_dim, np.float32)
  change[29] = 2.2  # over the first way-point, and 0.2 m or a tenth beyond it
  first = spec.decode(obs, change)
  assert (first[-4], first[-1]) == (1, 1)
  change[29] = 0.2
  second = spec.decode(first, change)
  assert (second[-4], second[-1]) == (1, 1)
  zero = jnp.zeros(8)
  off = lambda o: float(waypoints.distance(task.path.points, o[-4], o[height][:2] - o[-3:-1]))
  # a tenth of the new segment is paid, then two tenths of it, though only one is new
  assert float(spec.reward(obs, zero, first)) == pytest.approx(8.5 - 4 * off(first), abs=0.01)
  assert float(spec.reward(first, zero, second)) == pytest.approx(
    17 - 4 * off(second), abs=0.01
  )
  corrected = make_env("ant_follow", physics="mujoco", path="left_turn").spec
  gain = lambda a, b: float(corrected.reward(a[:-1], zero, b[:-1]))
  assert gain(obs, first) == pytest.approx(85 * 1.1 - 4 * off(first), abs=0.01)
  assert gain(first, second) == pytest.approx(8.5 - 4 * off(second), abs=0.01)
  assert not spec.terminated(obs, zero, obs.at[-4].set(5))
  assert spec.terminated(obs, zero, obs.at[-4].set(6))
  assert not corrected.terminated(obs[:-1], zero, obs[:-1].at[-3].set(6))


def test_real_states_start_a_new_plan_as_released():
  env = make_env("halfcheetah_follow", physics="mujoco", as_released=True)
  state = env.reset(jax.random.key(0))
  memory = env.observe.__self__.update(state.physics, None, jump(env, state, (0.75, 0)))
  assert (memory[0], memory[3]) == (1, 0)
