"""Tests the analytic tasks against independent equations and known optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from mbrl_jax.envs import double_integrator, make_env, optimal_plan, optimal_return, riccati


def gymnasium_pendulum(theta, speed, torque):
  """Returns next angle, next velocity and reward of Gymnasium's Pendulum-v1 in float64."""
  torque = np.clip(torque, -2, 2)
  wrapped = (theta + np.pi) % (2 * np.pi) - np.pi
  reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
  speed = np.clip(speed + (15 * np.sin(theta) + 3 * torque) * 0.05, -8, 8)
  return theta + speed * 0.05, speed, reward


def test_pendulum_follows_gymnasium():
  env, rng = make_env("pendulum"), np.random.default_rng(0)
  step, state = jax.jit(env.step), env.reset(jax.random.key(0))
  theta, speed = float(state.physics.qpos[0]), float(state.physics.qvel[0])
  fastest = 0.0
  for i in range(200):
    # pushing along the motion swings it up to the speed limit; beyond the bounds: clipped
    torque = 3.0 * np.sign(speed) if i < 120 else rng.uniform(-3, 3)
    state, transition = step(state, np.float32([torque]), jax.random.key(i))
    theta, speed, reward = gymnasium_pendulum(theta, speed, torque)
    fastest = max(fastest, abs(speed))
    np.testing.assert_allclose(transition.reward, reward, rtol=1e-3, atol=1e-3)
    want = [np.cos(theta), np.sin(theta), speed]
    np.testing.assert_allclose(transition.next_obs, want, atol=2e-3)
    assert transition.truncated == (i == 199)
  assert fastest == 8.0
  np.testing.assert_allclose(env.pose(state), [theta], atol=2e-3)


def test_pendulum_resets_are_uniform():
  env = make_env("pendulum")
  physics = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 4000)).physics
  for values, high in ((physics.qpos, np.pi), (physics.qvel, 1.0)):
    assert np.abs(values).max() <= high
    np.testing.assert_allclose(np.std(values), high / np.sqrt(3), rtol=0.05)


def test_riccati_converges_to_the_algebraic_solution():
  problem = double_integrator()
  values, gains = riccati(problem, 400)
  a, b, q, r = problem.a, problem.b, problem.q, problem.r
  limit = scipy.linalg.solve_discrete_are(a, b, q, r)
  np.testing.assert_allclose(values[-1], limit, rtol=1e-8)
  gain = np.linalg.solve(r + b.T @ limit @ b, b.T @ limit @ a)
  np.testing.assert_allclose(gains[-1], gain, rtol=1e-8)


def test_riccati_equals_least_squares_over_the_whole_plan():
  """With linear dynamics the return is quadratic in the plan; solve it directly."""
  problem, steps, x0 = double_integrator(), 7, np.array([0.8, -0.5])
  powers = [np.linalg.matrix_power(problem.a, k) for k in range(steps)]
  free = np.concatenate([p @ x0 for p in powers])
  forced = np.zeros((2 * steps, steps))
  for t in range(steps):
    for k in range(t):
      forced[2 * t : 2 * t + 2, k] = (powers[t - k - 1] @ problem.b)[:, 0]
  q, r = np.kron(np.eye(steps), problem.q), np.kron(np.eye(steps), problem.r)
  plan = -np.linalg.solve(forced.T @ q @ forced + r, forced.T @ q @ free)
  states = free + forced @ plan
  best = -(states @ q @ states + plan @ r @ plan)
  np.testing.assert_allclose(optimal_plan(problem, x0, steps)[:, 0], plan, atol=1e-10)
  assert optimal_return(problem, x0, steps) == pytest.approx(best, rel=1e-10)


def test_the_optimal_plan_earns_the_optimal_return():
  problem, env = double_integrator(), make_env("linear_quadratic")
  state = env.reset(jax.random.key(1))
  start = np.asarray(state.obs)
  plan = optimal_plan(problem, start, env.spec.episode_length)
  total = 0.0
  for action in plan:
    state, transition = env.step(state, np.float32(action), jax.random.key(0))
    total += float(transition.reward)
  assert transition.truncated and not transition.terminated
  assert total == pytest.approx(optimal_return(problem, start, len(plan)), rel=1e-4)


def test_linear_quadratic_bounds_never_bind():
  problem, env = double_integrator(), make_env("linear_quadratic")
  corners = np.array([(x, v) for x in (-1, 0, 1) for v in (-1, 0, 1)])
  plans = np.stack([optimal_plan(problem, x, env.spec.episode_length) for x in corners])
  assert np.abs(plans).max() < 3 < problem.limit
  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 1000))
  assert np.abs(states.obs).max() <= 1.0


def test_linear_quadratic_accepts_another_problem():
  problem = double_integrator()._replace(q=np.diag([3.0, 0.0]))
  env = make_env("linear_quadratic", "analytic", problem=problem)
  obs = np.float32([2.0, 1.0])
  assert env.spec.reward(obs, jnp.zeros(1), obs) == pytest.approx(-12.0)
