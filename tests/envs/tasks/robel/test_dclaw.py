"""Tests the D'Claw tasks of ROBEL and PDDM against published constants and formulas."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.robel import dclaw, dclaw_pddm


@pytest.fixture(scope="module")
def turn():
  return make_env("dclaw_turn", "mujoco")


@pytest.fixture(scope="module")
def step(turn):
  return jax.jit(turn.step)


@pytest.fixture(scope="module")
def start(turn):
  return jax.jit(turn.reset)(jax.random.key(0))


def resets(env, n=1000):
  """Returns observations after ``n`` resets."""
  return np.asarray(jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), n)).obs)


def robel_reward(obs):
  """Computes the published formula term by term."""
  error = (obs[28] - obs[18] + np.pi) % (2 * np.pi) - np.pi
  velocities = obs[9:18]
  fast = velocities[np.abs(velocities) >= 0.5]
  pose = np.tile([0, -np.pi / 3, np.pi / 3], 3)
  bonus = 10 * (abs(error) < 0.25) + 50 * (abs(error) < 0.1)
  return bonus - 5 * abs(error) - np.linalg.norm(obs[:9] - pose) - np.linalg.norm(fast)


def test_model(turn):
  model = turn.model
  for finger in ("first", "second", "thumb"):
    mass = [model.body(finger + part).mass[0] for part in ("", "_middle", "_bottom")]
    np.testing.assert_allclose(mass, [0.105, 0.105, 0.032], atol=1e-9)
  np.testing.assert_allclose(model.dof_damping, 0.1)
  np.testing.assert_allclose(model.dof_armature, 0.001)
  np.testing.assert_allclose(model.actuator_gainprm[:, 0], 2)
  np.testing.assert_allclose(
    model.jnt_range[[0, 1, 9]], [[-0.45, 1.35], [-2, 2], [-6.28, 6.28]]
  )
  assert model.opt.timestep == 0.0025 and model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  reach = 0.335 - 0.003 - 0.01425 - 0.0675 - 0.068 - 0.076  # stretched fingers hang down
  for finger, place in (
    ("first", (0.03, 0.052)),
    ("second", (0.03, -0.052)),
    ("thumb", (-0.06, 0)),
  ):
    tip = data.site(finger + "_tip").xpos
    np.testing.assert_allclose(tip, [*place, reach], atol=1e-4)
  assert data.geom("arm_1").xpos[2] == pytest.approx(0.0101 + 0.038 + 0.054)
  np.testing.assert_allclose(data.geom("arm_1").xpos[:2], [0.038, 0], atol=1e-6)


def test_collision_pairs(turn):
  """Tips collide with arms and other fingers, middle links with other fingers only."""
  model, pairs = turn.model, set()
  for i in range(model.ngeom):
    for j in range(i):
      one, other = sorted((model.geom(i), model.geom(j)), key=lambda geom: geom.name)
      bodies = one.bodyid[0], other.bodyid[0]
      family = bodies[0] == bodies[1] or model.body_parentid[max(bodies)] == min(bodies)
      bits = (one.contype & other.conaffinity) | (other.contype & one.conaffinity)
      if bits[0] and not family:
        pairs.add((one.name.split("_")[-1], other.name.split("_")[-1]))
  arms = {(str(i), "tip") for i in (1, 2, 3)}
  assert pairs == arms | {
    ("tip", "tip"),
    ("guard", "guard"),
    ("guard", "tip"),
    ("tip", "guard"),
  }


@pytest.mark.parametrize(("name", "length"), [("dclaw_turn", 40), ("dclaw_screw", 80)])
def test_spec(name, length):
  spec = make_env(name, "mujoco").spec
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (29, 9, length)
  assert spec.dt == pytest.approx(0.1)
  np.testing.assert_array_equal([spec.action_low, spec.action_high], [[-1] * 9, [1] * 9])


def test_encode_is_what_robel_observes(turn):
  obs = np.random.default_rng(0).normal(size=29).astype(np.float32)
  obs[18], obs[28] = 1.0, 4.5  # 3.5 ahead is 2 pi - 3.5 behind
  want = [*obs[:9], np.cos(1), np.sin(1), *obs[19:28], 3.5 - 2 * np.pi]
  np.testing.assert_allclose(turn.spec.encode(obs), want, atol=1e-6)


@pytest.mark.parametrize("name", ["dclaw_turn", "dclaw_screw"])
def test_reward_is_the_published_formula(name):
  reward, rng = make_env(name, "mujoco").spec.reward, np.random.default_rng(1)
  for error in (-3.0, -0.2, 0.05, 0.09, 0.11, 0.24, 0.3, 3.0):
    obs = rng.normal(size=29).astype(np.float32)
    obs[28] = obs[18] + error + 2 * np.pi
    got = reward(obs + 1, np.ones(9, np.float32), obs)
    assert got == pytest.approx(robel_reward(np.float64(obs)), abs=1e-4)


def test_the_reward_gradient_is_finite_at_the_pose(turn):
  obs = jnp.zeros(29).at[:9].set(dclaw.POSE)
  slope = jax.grad(lambda o: turn.spec.reward(o, jnp.zeros(9), o))(obs)
  assert np.isfinite(slope).all()


def test_success_and_points():
  at = np.zeros(29, np.float32)
  for error, near, wide in ((0.05, True, True), (0.15, False, True), (0.25, False, False)):
    at[28] = -error
    assert (dclaw.success(at), dclaw.success(at, 0.2)) == (near, wide)
    assert dclaw.points(at) == pytest.approx(1 - error / np.pi, abs=1e-6)


@pytest.mark.parametrize(
  ("name", "within"), [("dclaw_turn", 0.1), ("dclaw_screw", 0.2), ("dclaw_turn_pddm", 0.1)]
)
def test_success_is_a_small_error_in_the_last_step(name, within):
  spec = make_env(name, "mujoco").spec
  solved, steps, last = spec.success
  obs = np.ones(spec.obs_dim, np.float32)
  assert (steps, last) == (1, 1)
  for error in (-within, within):
    obs[-1] = obs[18] + 0.99 * error
    assert solved(obs) and solved(obs + 2 * np.pi * (np.arange(len(obs)) == 18))
    obs[-1] = obs[18] + 1.01 * error
    assert not solved(obs)


def test_turn_resets():
  obs = np.asarray(make_env("dclaw_turn", "mujoco").reset(jax.random.key(0)).obs)
  np.testing.assert_allclose(obs[:9], [0, -np.pi / 3, np.pi / 3] * 3, atol=1e-6)
  np.testing.assert_array_equal(obs[9:28], 0)
  assert obs[28] == pytest.approx(np.pi)
  drawn = resets(make_env("dclaw_turn", "mujoco", variant="random"))[:, [18, 28]]
  drawn[:, 1] -= np.pi
  assert (np.abs(drawn) <= np.pi / 3 + 1e-6).all()
  np.testing.assert_allclose(drawn.std(0), np.pi / 3 / np.sqrt(3), rtol=0.1)
  assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_screw_turns_its_target():
  screw = make_env("dclaw_screw", "mujoco")
  state, move = screw.reset(jax.random.key(0)), jax.jit(screw.step)
  assert state.obs[18] == state.obs[28] == 0
  for i in range(3):
    state, t = move(state, jnp.zeros(9), jax.random.key(0))
    assert t.next_obs[28] == pytest.approx(0.05 * (i + 1), abs=1e-6)


def test_screw_resets():
  env = make_env("dclaw_screw", "mujoco", variant="random")
  obs = resets(env)
  np.testing.assert_array_equal(obs[:, 18], obs[:, 28])
  assert np.abs(obs[:, 18]).max() == pytest.approx(np.pi, rel=0.01)
  start = env.reset(jax.random.key(0)).physics
  keys = jax.random.split(jax.random.key(0), 1000)
  speeds = np.asarray(jax.vmap(lambda key: env.memory.start(key, start).speed)(keys))
  assert 0.74 < np.abs(speeds).max() <= 0.75 and abs(speeds.mean()) < 0.05


def test_targets_have_a_speed_limit(turn, start):
  """The limit is 2 pi / 3 rad/s over 0.1 s around the joint angle, then the range."""
  command = jax.jit(turn.command)
  angles, reach = np.tile([0, -np.pi / 3, np.pi / 3], 3), 2 * np.pi / 30
  np.testing.assert_allclose(command(start.physics, jnp.zeros(9))[0], 0, atol=1e-6)
  np.testing.assert_allclose(
    command(start.physics, jnp.zeros(9))[1:3], angles[1:3] * 0.8, atol=1e-5
  )
  np.testing.assert_allclose(
    command(start.physics, jnp.ones(9)),
    np.minimum(np.tile([0.48, np.pi / 3, np.pi / 2], 3), angles + reach),
    atol=1e-5,
  )
  inside = jnp.float32(np.tile([0.2, -0.9, 0.7], 3))
  np.testing.assert_allclose(command(start.physics, inside)[0], 0.2 * 0.48, atol=1e-6)
  np.testing.assert_allclose(command(start.physics, inside)[1], -0.9 * np.pi / 3, atol=1e-6)


def test_the_last_action_is_observed_clipped(step, start):
  action = jnp.linspace(-2, 1, 9)
  _, t = step(start, action, jax.random.key(0))
  np.testing.assert_allclose(t.next_obs[19:28], np.clip(action, -1, 1), atol=1e-6)
  np.testing.assert_array_equal(t.obs[19:28], 0)


@pytest.mark.parametrize("side", [1, -1])
def test_fingers_between_the_arms_turn_the_valve(step, start, side):
  """Lowered near the axis, then swung sideways, each finger pushes one arm."""
  down = jnp.float32([0, 0.334, -0.223] * 3)
  swing = down.at[jnp.array([0, 3, 6])].set(side)
  state = start
  for action in [down] * 10 + [swing] * 8:
    state, t = step(state, action, jax.random.key(0))
  assert 0.2 < side * float(t.next_obs[18]) < 0.35


@pytest.mark.parametrize("name", ["dclaw_turn", "dclaw_screw"])
def test_unknown_variants(name):
  with pytest.raises(ValueError, match=r"variant='hard'.*'random'"):
    make_env(name, variant="hard")


def test_pddm_spec_and_resets():
  env = make_env("dclaw_turn_pddm", "mujoco")
  assert (env.spec.obs_dim, env.spec.action_dim, env.spec.episode_length) == (21, 9, 40)
  obs = resets(env)
  np.testing.assert_allclose(obs[0, :9], [0, -1, 1.35] * 3, atol=1e-6)
  np.testing.assert_array_equal(obs[:, 9:18], 0)
  assert np.abs(obs[:, 18]).max() == pytest.approx(np.pi / 4, rel=0.01)
  size = np.abs(obs[:, 20])
  assert np.pi / 2 <= size.min() < 1.6 and 3.1 < size.max() <= np.pi
  assert (obs[:, 20] > 0).mean() == pytest.approx(0.5, abs=0.05)


def test_pddm_moves_its_targets_faster():
  env = make_env("dclaw_turn_pddm", "mujoco")
  state = env.reset(jax.random.key(0))
  np.testing.assert_allclose(
    env.command(state.physics, jnp.ones(9)), [0.48, -0.5, 1.57] * 3, atol=1e-6
  )


@pytest.mark.parametrize(
  ("error", "corrected", "released"),
  [(0.3, 0, 0), (0.2, 1, 2), (0.05, 11, 20), (-0.05, 11, 20)],
)
def test_pddm_reward(error, corrected, released):
  obs = np.zeros(21, np.float32)
  obs[18], obs[20] = 6.0, 6.0 + error - 2 * np.pi
  for bonus, as_released in ((corrected, False), (released, True)):
    env = make_env("dclaw_turn_pddm", "mujoco", as_released=as_released)
    got = env.spec.reward(obs + 1, np.ones(9), obs)
    assert got == pytest.approx(bonus - 10 * abs(error), abs=1e-4)
  assert dclaw_pddm.reward(obs, np.ones(9), obs) == pytest.approx(
    corrected - 10 * abs(error), abs=1e-4
  )
