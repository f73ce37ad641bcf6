"""Tests ROBEL's random dynamics: ranges of the parameters and sensor noise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.robel import dclaw, dkitty
from mbrl_jax.envs.tasks.robel.random_dynamics import draw_models


@pytest.fixture(scope="module")
def claw():
  return make_env("dclaw_turn", "mujoco", variant="random_dynamics", models=5)


@pytest.fixture(scope="module")
def bumpy():
  return make_env("dkitty_orient", "mujoco", variant="random_dynamics", models=2)


def within(values, low, high):
  """Returns whether values lie in a range and cover most of it."""
  values = np.asarray(values)
  width = high - low
  inside = (values >= low - 1e-9).all() and (values <= high + 1e-9).all()
  return inside and values.min() < low + 0.3 * width and values.max() > high - 0.3 * width


def test_hand_parameters_are_within_the_published_ranges(claw):
  models = list(draw_models(claw.model, dclaw._RANDOM, slice(0, 10), 20))
  damping = np.stack([m.dof_damping for m in models])
  assert within(damping, 0.005, 0.1) and np.ptp(damping[0]) > 0
  assert within([m.dof_frictionloss for m in models], 0.001, 0.005)
  assert within([m.actuator_gainprm[:, 0] for m in models], 1, 3)
  for m in models:
    assert np.ptp(m.actuator_gainprm[:, 0]) == 0
    np.testing.assert_array_equal(m.actuator_biasprm[:, 1], -m.actuator_gainprm[:, 0])
    assert np.ptp(m.geom_friction, 0).max() == 0
  assert within([m.geom_friction[0, 0] for m in models], 0.8, 1.2)
  assert within([m.geom_friction[0, 1] for m in models], 0.003, 0.007)
  assert within([m.geom_friction[0, 2] for m in models], 5e-5, 15e-5)
  offsets = np.stack([m.body("mount").pos for m in models]) - [0, 0, 0.335]
  assert all(within(offsets[:, i], -0.01, 0.01) for i in range(3))
  np.testing.assert_array_equal(claw.model.dof_damping, 0.1)


def test_robot_parameters_are_within_the_published_ranges(bumpy):
  model = bumpy.model
  models = list(draw_models(model, dkitty._RANDOM, slice(6, 18), 20))
  damping = np.stack([m.dof_damping for m in models])
  assert within(damping[:, 6:], 0.1, 0.2) and not damping[:, :6].any()
  assert np.ptp(damping[:, 6:], 1).max() == 0
  assert within([m.actuator_gainprm[:, 0] for m in models], 2.8, 3.2)
  assert within([m.body_mass.sum() for m in models], 1.6, 2.0)
  ratio = models[0].body_mass.sum() / model.body_mass.sum()
  np.testing.assert_allclose(models[0].body_inertia, ratio * model.body_inertia)
  np.testing.assert_allclose(models[0].body_subtreemass[0], models[0].body_mass.sum())


def test_the_robot_stands_on_bumps_of_the_published_height(bumpy):
  model = bumpy.model
  assert np.isclose(model.hfield_size[0, 0] * 2 / (model.hfield_ncol[0] - 1), 0.075)
  for m in draw_models(model, dkitty._RANDOM, slice(6, 18), 3):
    assert within(m.hfield_data * m.hfield_size[0, 2], 0, 0.05)
  stretched = np.float32([0.284, -1, 1, -0.284, -1, 1, -0.284, -1, 1, 0.284, -1, 1])
  states = jax.jit(jax.vmap(bumpy.reset))(jax.random.split(jax.random.key(0), 8))
  step = jax.jit(jax.vmap(bumpy.step, (0, None, None)))
  for _ in range(20):
    states, t = step(states, stretched, jax.random.key(0))
  heights = np.asarray(t.next_obs[:, 2])
  assert (heights > -0.02).all() and (heights < 0.05).all() and np.ptp(heights) > 0.002
  assert not t.terminated.any()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mjx_agrees_with_mujoco_on_bumps(bumpy):
  """At edges and corners most control steps, not all, agree to millimetres."""
  mjx = make_env("dkitty_orient", "mjx", variant="random_dynamics", models=2).physics
  rng, state = np.random.default_rng(0), jax.jit(bumpy.reset)(jax.random.key(0))
  step, command = jax.jit(bumpy.step), jax.jit(bumpy.command)
  again = jax.jit(lambda q, v, i, ctrl: mjx.step(mjx.init(q, v, variant=i), ctrl).qpos)
  errors = []
  for _ in range(30):
    now, action = state.physics, rng.uniform(-1, 1, 12).astype(np.float32)
    qpos = again(now.qpos, now.qvel, now.variant, command(now, action))
    state, _ = step(state, action, jax.random.key(0))
    errors.append(np.abs(qpos - state.physics.qpos).max())
  assert np.median(errors) < 1e-2 and np.max(errors) < 0.3


def test_each_reset_draws_a_model(claw):
  assert claw.physics.variants == 5
  states = jax.jit(jax.vmap(claw.reset))(jax.random.split(jax.random.key(0), 60))
  step = jax.jit(jax.vmap(dataclasses.replace(claw, noise=None).step, (0, None, None)))
  start = states._replace(
    physics=states.physics._replace(qpos=jnp.tile(states.physics.qpos[:1], (60, 1)))
  )
  _, t = step(start, jnp.zeros(9), jax.random.key(0))
  assert len(np.unique(np.asarray(t.next_obs[:, 1]).round(5))) == 5


def test_sensor_noise_is_a_twentieth_of_the_range_wide(claw):
  state = jax.jit(claw.reset)(jax.random.key(0))
  keys = jax.random.split(jax.random.key(1), 500)
  _, t = jax.jit(jax.vmap(claw.step, (None, None, 0)))(state, jnp.zeros(9), keys)
  after, _ = jax.jit(claw.step)(state, jnp.zeros(9), keys[0])
  off = np.asarray(t.next_obs - claw.observe(after.physics))
  widths = [0.96, 2 * np.pi / 3, np.pi] * 3 + [4 * np.pi / 3] * 9 + [2 * np.pi]
  np.testing.assert_allclose(np.abs(off[:, :19]).max(0), 0.025 * np.array(widths), rtol=0.03)
  np.testing.assert_allclose(off[:, :19].mean(0), 0, atol=0.02)
  np.testing.assert_allclose(off[:, 19:], 0, atol=1e-6)
  want = jax.vmap(claw.spec.reward)(t.obs, t.action, t.next_obs)
  np.testing.assert_allclose(t.reward, want, rtol=1e-5, atol=1e-5)
  assert np.ptp(t.reward) > 0.1


def test_the_reset_observation_is_noisy(claw):
  states = jax.jit(jax.vmap(claw.reset))(jax.random.split(jax.random.key(0), 50))
  off = np.asarray(states.obs - jax.vmap(claw.observe)(states.physics))
  assert (off[:, :19].std(0) > 0.005).all() and not off[:, 19:].any()


def test_sensor_noise_of_the_quadruped(bumpy):
  off = np.asarray(
    jax.vmap(lambda key: bumpy.noise(key, jnp.zeros(49)))(
      jax.random.split(jax.random.key(0), 500)
    )
  )
  exact = np.r_[0:6, 18:24, 36:49]
  assert not off[:, exact].any()
  spans = [0.779, np.pi / 2, 2.0] * 4
  np.testing.assert_allclose(np.abs(off[:, 6:18]).max(0), 0.025 * np.array(spans), rtol=0.03)
  np.testing.assert_allclose(np.abs(off[:, 24:36]).max(0), 0.025 * 2 * np.pi, rtol=0.03)


def test_other_variants_have_no_noise():
  for name in ("dclaw_turn", "dclaw_screw", "dkitty_orient"):
    env = make_env(name, "mujoco", variant="random")
    assert env.noise is None and env.physics.variants == 1


def test_rejects_zero_models():
  with pytest.raises(ValueError, match="models=0 must be positive"):
    make_env("dclaw_screw", "mujoco", variant="random_dynamics", models=0)
