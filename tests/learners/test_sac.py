"""SAC against losses recomputed in numpy, and on a problem with a known solution."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from mbrl_jax.learners import SACHyperparams, make_sac
from mbrl_jax.learners.sac_loss import Modules, loss
from mbrl_jax.networks.actor import from_bounds, gaussian, make_net, squash, to_bounds
from mbrl_jax.types import Transition

LOW, HIGH = np.float32([-2.0, -1.0]), np.float32([2.0, 3.0])


def batch_of(size, obs_dim=3, seed=0, terminated=False):
  rng = np.random.default_rng(seed)
  draw = lambda *shape: jnp.asarray(rng.normal(size=(size, *shape)), jnp.float32)
  return Transition(
    obs=draw(obs_dim),
    action=jnp.asarray(rng.uniform(LOW, HIGH, (size, 2)), jnp.float32),
    reward=draw(),
    next_obs=draw(obs_dim),
    terminated=jnp.full(size, terminated),
    truncated=jnp.zeros(size, bool),
  )


def test_the_density_of_the_squashed_gaussian_integrates_to_one():
  mean, log_std = 0.4, -0.3

  def density(action):
    u = np.arctanh(action)
    noise = (u - mean) / np.exp(log_std)
    _, log = squash(jnp.array([mean]), jnp.array([log_std]), jnp.array([noise]))
    return float(np.exp(log))

  total, _ = integrate.quad(density, -0.999, 0.999, limit=60)
  assert total == pytest.approx(1.0, abs=1e-3)
  expected = stats.norm.pdf(np.arctanh(0.5), mean, np.exp(log_std)) / (1 - 0.25)
  assert density(0.5) == pytest.approx(expected, rel=1e-4)


def test_the_log_density_is_finite_at_the_bounds():
  action, log = squash(jnp.array([30.0]), jnp.array([0.0]), jnp.array([1.0]))
  assert action == 1.0 and np.isfinite(log)


def test_actions_scale_to_the_bounds_and_back():
  unit = jnp.array([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5]])
  scaled = to_bounds(unit, LOW, HIGH)
  np.testing.assert_allclose(scaled, [[-2, -1], [2, 3], [0, 2]])
  np.testing.assert_allclose(from_bounds(scaled, LOW, HIGH), unit)


def test_losses_are_those_of_the_docstring():
  """Recomputed with numpy from the networks' outputs."""
  sac = make_sac(3, LOW, HIGH, hidden=(8,), value=True)
  state = sac.init(jax.random.key(0), SACHyperparams(discount=0.9, target_entropy=-2.0))
  other = sac.init(jax.random.key(9), SACHyperparams())
  state = state._replace(target_critics=other.nets.critics)
  state = state._replace(nets=state.nets._replace(log_alpha=jnp.log(0.3)))
  batch = batch_of(5)
  batch = batch._replace(terminated=jnp.array([True, False, False, True, False]))
  noise = jax.random.normal(jax.random.key(1), (2, 5, 2))
  nets = Modules(make_net(4, (8,)), make_net(1, (8,)), LOW, HIGH, True)
  total, metrics = loss(nets, state.nets, state, batch, noise)

  pi = lambda obs, n: squash(*gaussian(nets.actor, state.nets.actor, obs), n)
  each = lambda critic, obs, a: np.array(
    [nets.critic.apply({"params": critic}, np.append(o, x))[0] for o, x in zip(obs, a)]  # noqa: B905
  )
  pair = lambda critics: [jax.tree.map(lambda x, i=i: x[i], critics) for i in range(2)]
  least = lambda critics, obs, a: np.min([each(c, obs, a) for c in pair(critics)], 0)
  next_action, next_log = pi(batch.next_obs, noise[0])
  soft = least(state.target_critics, batch.next_obs, next_action) - 0.3 * next_log
  y = batch.reward + 0.9 * ~batch.terminated * soft
  unit = from_bounds(batch.action, LOW, HIGH)
  error = lambda critic: 0.5 * np.mean((each(critic, batch.obs, unit) - y) ** 2)
  q_loss = sum(map(error, pair(state.nets.critics)))
  action, log = pi(batch.obs, noise[1])
  actor_loss = np.mean(0.3 * log - least(state.nets.critics, batch.obs, action))
  v = np.array([sac.v(state.nets.value, o) for o in batch.obs])
  v_target = least(state.target_critics, batch.obs, action) - 0.3 * log
  v_loss = 0.5 * np.mean((v - v_target) ** 2)
  alpha_loss = -np.log(0.3) * (np.mean(log) - 2.0)
  for name, value in {"q_loss": q_loss, "actor_loss": actor_loss, "v_loss": v_loss}.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
  np.testing.assert_allclose(total, q_loss + actor_loss + v_loss + alpha_loss, rtol=1e-4)


def test_each_loss_has_gradients_only_for_its_own_network():
  sac = make_sac(3, LOW, HIGH, hidden=(8,))
  state = sac.init(jax.random.key(0), SACHyperparams())
  nets = Modules(make_net(4, (8,)), make_net(1, (8,)), LOW, HIGH, False)
  noise = jnp.zeros((2, 4, 2))
  gradient = lambda name: jax.grad(
    lambda trained: loss(nets, trained, state, batch_of(4), noise)[1][name]
  )(state.nets)
  norm = lambda tree: float(optax.tree.norm(tree))
  of_q, of_actor = gradient("q_loss"), gradient("actor_loss")
  assert norm(of_q.critics) > 0 and norm(of_q.actor) == norm(of_q.log_alpha) == 0
  assert norm(of_actor.actor) > 0 and norm(of_actor.critics) == norm(of_actor.log_alpha) == 0


def test_targets_move_by_tau_and_networks_by_the_learning_rate():
  sac = make_sac(3, LOW, HIGH, hidden=(8,))
  state = sac.init(jax.random.key(0), SACHyperparams(tau=0.25, learning_rate=0.01))
  after, _ = jax.jit(sac.update)(state, batch_of(16), jax.random.key(1))
  want = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, state.nets.critics, after.nets.critics)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.target_critics, want
  )
  bias = lambda state: state.nets.critics["layer_1"]["bias"]
  moved = jnp.abs(bias(after) - bias(state))
  np.testing.assert_allclose(moved, 0.01, rtol=1e-3)  # Adam's first step is the rate itself


@pytest.mark.slow
def test_the_bandit_is_solved_at_the_target_entropy():
  """A bandit: reward ``-(a - 0.5)^2`` in the first action, episodes of one step."""
  sac = make_sac(1, [-1.0], [1.0], hidden=(32, 32))
  hyperparams = SACHyperparams(learning_rate=3e-3, tau=0.05, target_entropy=-1.0)
  rng = np.random.default_rng(0)
  actions = jnp.asarray(rng.uniform(-1, 1, (64, 256, 1)), jnp.float32)
  obs = jnp.zeros((256, 1))
  flag = jnp.ones(256, bool)

  def body(state, x):
    action, key = x
    reward = -10 * jnp.square(action[:, 0] - 0.5)
    return sac.update(state, Transition(obs, action, reward, obs, flag, ~flag), key)

  run = jax.jit(lambda s, k: jax.lax.scan(body, s, (actions, jax.random.split(k, 64))))
  state = sac.init(jax.random.key(0), hyperparams)
  for i in range(30):
    state, metrics = run(state, jax.random.key(i))
  best = sac.act(state.nets.actor, jnp.zeros(1), jax.random.key(0), True)
  np.testing.assert_allclose(best, 0.5, atol=0.1)
  np.testing.assert_allclose(metrics["entropy"][-20:].mean(), -1.0, atol=0.25)
  values = [float(sac.q(state.nets.critics, jnp.zeros(1), jnp.array([a]))) for a in (-0.5, 0.5)]
  np.testing.assert_allclose(values, [-10.0, 0.0], atol=0.8)


def test_update_traces_once_and_vmaps_over_hyperparams():
  chex.clear_trace_counter()
  sac = make_sac(3, LOW, HIGH, hidden=(8,))
  update = jax.jit(chex.assert_max_traces(sac.update, n=1))
  rates = jnp.array([1e-3, 1e-2])
  init = lambda rate: sac.init(jax.random.key(0), SACHyperparams(learning_rate=rate))
  states = jax.vmap(init)(rates)
  many, _ = jax.jit(jax.vmap(sac.update, (0, None, None)))(
    states, batch_of(4), jax.random.key(1)
  )
  for i, rate in enumerate(rates):
    one, _ = update(init(rate), batch_of(4), jax.random.key(1))
    row = jax.tree.map(lambda x, i=i: x[i], many.nets)
    chex.assert_trees_all_close(row, one.nets, atol=1e-5, rtol=1e-7)


def test_sizes_that_are_not_positive_are_rejected():
  with pytest.raises(ValueError, match=r"hidden=\(\d+, 0\) must be positive"):
    make_sac(3, LOW, HIGH, hidden=(8, 0))


def test_next_observations_of_terminated_rows_are_ignored():
  """Also if they are not finite."""
  sac = make_sac(3, LOW, HIGH, hidden=(8,), value=True)
  state = sac.init(jax.random.key(0), SACHyperparams(target_entropy=-2.0))
  update = jax.jit(sac.update)
  batch = batch_of(6)._replace(terminated=jnp.arange(6) < 2)
  want, _ = update(state, batch, jax.random.key(1))
  for bad in (jnp.nan, jnp.inf):
    nonfinite = batch._replace(next_obs=batch.next_obs.at[:2, 1].set(bad))
    got, metrics = update(state, nonfinite, jax.random.key(1))
    chex.assert_trees_all_equal(got, want)
    assert metrics["nonfinite_rows"] == 0


@pytest.mark.parametrize("name", ["obs", "action", "reward", "next_obs"])
def test_non_finite_rows_are_replaced_by_the_first_finite_one(name):
  sac = make_sac(3, LOW, HIGH, hidden=(8,))
  state = sac.init(jax.random.key(0), SACHyperparams(target_entropy=-2.0))
  update = jax.jit(sac.update)
  batch = batch_of(6)
  twice = jax.tree.map(lambda x: x.at[jnp.array([0, 4])].set(x[1]), batch)
  want, _ = update(state, twice, jax.random.key(1))
  rows = getattr(batch, name).at[0].set(jnp.nan).at[4].set(-jnp.inf)
  got, metrics = update(state, batch._replace(**{name: rows}), jax.random.key(1))
  chex.assert_trees_all_equal(got, want)
  assert metrics["nonfinite_rows"] == 2
  none = batch._replace(reward=jnp.full(6, jnp.nan))
  after, metrics = update(state, none, jax.random.key(1))
  chex.assert_trees_all_equal(after.nets, state.nets)
  assert metrics["nonfinite_rows"] == 6


@pytest.mark.parametrize("name", ["obs", "reward", "next_obs"])
def test_steps_with_an_overflowing_squared_gradient_are_skipped(name):
  sac = make_sac(3, LOW, HIGH, hidden=(8,))
  state = sac.init(jax.random.key(0), SACHyperparams())
  update = jax.jit(sac.update)
  batch = batch_of(6)
  for size in (1e25, -3e38):
    rows = getattr(batch, name).at[2].set(size)
    after, metrics = update(state, batch._replace(**{name: rows}), jax.random.key(1))
    assert metrics["nonfinite_steps"] == 1 and metrics["nonfinite_rows"] == 0
    for part in ("nets", "target_critics"):
      chex.assert_trees_all_equal(getattr(after, part), getattr(state, part))
    after, metrics = update(after, batch, jax.random.key(2))
    assert metrics["nonfinite_steps"] == 0
    assert np.isfinite(optax.tree.norm((after.nets, after.opt_state)))
    assert (
      after.nets.critics["layer_0"]["kernel"] != state.nets.critics["layer_0"]["kernel"]
    ).any()
