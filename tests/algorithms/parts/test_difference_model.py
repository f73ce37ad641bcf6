"""The world model of Game-MBRL against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from difference_cases import CAP, SPEC, data, inputs_of, make, net, normalized, predicted, valid

from mbrl_jax.algorithms.parts.imagined_trajectories import disagreement
from mbrl_jax.ops.missing import MissingReward, MissingTermination


@pytest.fixture(scope="module")
def fitted():
  """A model with learned reward after two fits, with the states and metrics."""
  model, rows = make(learn_reward=True, reward_hidden=(8,)), data()
  fit = jax.jit(model.fit)
  states, reports = [model.init(jax.random.key(0))], []
  for seed in (1, 2):
    state, report = fit(states[-1], rows, jnp.int32(6), jax.random.key(seed), True)
    states.append(state)
    reports.append(report)
  return model, rows, states, reports


def test_inputs_and_targets_are_scaled_by_their_mean_absolute_deviation(fitted):
  _, rows, states, _ = fitted
  transition = valid(rows)
  inputs, targets = inputs_of(transition), transition.next_obs - transition.obs
  change = states[1].params.change
  for normalizer, x in ((change.inputs, inputs), (change.targets, targets)):
    np.testing.assert_allclose(normalizer.mean, x.mean(0), atol=1e-6)
    np.testing.assert_allclose(normalizer.scale, np.abs(x - x.mean(0)).mean(0), atol=1e-6)
  assert change.targets.scale[2] == 0


def test_steps_are_those_of_the_nets(fitted):
  model, rows, states, _ = fitted
  params, transition = states[2].params, valid(rows)
  step = jax.jit(jax.vmap(
    jax.vmap(model.dynamics.step, (None, 0, 0, None)), (model.dynamics.params_axes, None, None,
    None)))  # fmt: skip
  next_obs, reward, terminated = step(
    params, transition.obs, transition.action, jnp.zeros((len(transition.obs), 0))[0]
  )
  inputs = inputs_of(transition)
  for e in range(3):
    change = predicted(params, inputs, e)
    np.testing.assert_allclose(next_obs[e], transition.obs + change, rtol=1e-4, atol=1e-5)
    gains = jax.tree.map(lambda x, e=e: np.asarray(x[e]), params.reward)
    weights = jax.tree.map(lambda x: x[0], gains.network)
    both = normalized(gains.inputs, np.concatenate([inputs, change], 1))
    expected = net(weights, both)[:, 0] * gains.targets.scale + gains.targets.mean
    np.testing.assert_allclose(reward[e], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(terminated[e], next_obs[e][:, 1] > 1.5)
  assert 0 < terminated.mean() < 1


def test_known_rewards_are_those_of_the_task():
  model = make()
  params = model.init(jax.random.key(0)).params
  obs, action = jnp.float32([0.1, 1.9, 2.0]), jnp.float32([0.5, -0.5])
  member = params._replace(change=params.change._replace(
    network=jax.tree.map(lambda x: x[1], params.change.network)))  # fmt: skip
  next_obs, reward, terminated = model.dynamics.step(member, obs, action, jnp.zeros(0))
  np.testing.assert_allclose(reward, next_obs[0] - 0.1 - 0.05, atol=1e-6)
  assert terminated == (next_obs[1] > 1.5)
  twice = make(action_repeat=2)
  doubled = twice.dynamics.step(member, obs, action, jnp.zeros(0))[1]
  np.testing.assert_allclose(doubled, next_obs[0] - 0.1 - 2 * 0.05, atol=1e-6)
  endless = make(ends=False).dynamics.step(member, obs.at[1].set(9.0), action, jnp.zeros(0))
  assert not endless[2]


def test_losses_before_and_after_a_fit_are_of_the_newest_rows(fitted):
  _, rows, states, reports = fitted
  newest = jax.tree.map(lambda x: x[-6:], valid(rows))
  inputs, targets = inputs_of(newest), np.float64(newest.next_obs) - newest.obs
  scale = np.float64(states[2].params.change.targets.scale)
  scale = np.where(scale > 0, scale, 1.0)
  for state, name in ((states[1], "new_data_loss_before"), (states[2], "new_data_loss_after")):
    squares = [((predicted(state.params, inputs, e) - targets) / scale) ** 2 for e in range(3)]
    np.testing.assert_allclose(reports[1][name], np.mean(squares), rtol=1e-3)
  few = make(recent=2, learn_reward=True, reward_hidden=(8,))
  report = jax.jit(few.fit)(states[1], rows, jnp.int32(6), jax.random.key(9), False)[1]
  squares = [
    ((predicted(states[1].params, inputs[-2:], e) - targets[-2:]) / scale) ** 2
    for e in range(3)
  ]
  np.testing.assert_allclose(report["new_data_loss_before"], np.mean(squares), rtol=1e-3)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_losses_of_an_epoch_are_those_of_its_rows(weight_decay):
  """At a vanishing learning rate; of both nets, in three batches of ten rows."""
  model = make(
    learning_rate=1e-12, epochs=1, learn_reward=True, reward_hidden=(8,),
    weight_decay=weight_decay, batch_size=10,
  )  # fmt: skip
  rows, state = data(), model.init(jax.random.key(0))
  state, report = jax.jit(model.fit)(state, rows, jnp.int32(0), jax.random.key(1), True)
  transition, change = valid(rows), state.params.change
  inputs, targets = inputs_of(transition), np.float64(transition.next_obs) - transition.obs
  scale = np.where(change.targets.scale > 0, np.float64(change.targets.scale), 1.0)
  scaled = (targets - change.targets.mean) / scale
  losses, errors = [], []
  for e in range(3):
    weights = jax.tree.map(lambda x, e=e: x[e], change.network)
    decay = weight_decay * sum(np.square(layer["kernel"]).sum() for layer in weights.values())
    error = np.mean((net(weights, normalized(change.inputs, inputs)) - scaled) ** 2)
    losses.append(error + decay)
    gains = jax.tree.map(lambda x, e=e: np.asarray(x[e]), state.params.reward)
    both = np.concatenate([inputs, predicted(state.params, inputs, e)], 1)
    out = net(jax.tree.map(lambda x: x[0], gains.network), normalized(gains.inputs, both))
    gain = out[:, 0] * gains.targets.scale + gains.targets.mean
    errors.append(np.mean((gain - transition.reward) ** 2))
  np.testing.assert_allclose(report["model_loss"], np.mean(losses), rtol=1e-3)
  np.testing.assert_allclose(report["reward_error"], np.mean(errors), rtol=1e-3)


def test_constant_targets_are_predicted_exactly_over_a_hundred_steps(fitted):
  model, _, states, _ = fitted
  member = states[2].params._replace(
    change=states[2].params.change._replace(
      network=jax.tree.map(lambda x: x[0], states[2].params.change.network)
    ),
    reward=jax.tree.map(lambda x: x[0], states[2].params.reward),
  )

  def body(obs, key):
    action = jax.random.normal(key, (2,))
    next_obs, _, _ = model.dynamics.step(member, obs, action, jnp.zeros(0))
    return next_obs, next_obs

  start = jnp.float32([0.1, 0.2, 1.2345678])
  keys = jax.random.split(jax.random.key(0), 100)
  seen = jax.jit(lambda: jax.lax.scan(body, start, keys)[1])()
  assert (np.asarray(seen[:, 2]) == np.float32(1.2345678)).all()
  assert np.ptp(seen[:, 0]) > 0.1


@pytest.mark.parametrize(
  ("size", "max_steps", "epochs"), [(30, 9, 3), (30, 8, 2), (30, 1, 1), (30, 99, 4), (3, 2, 2)]
)
def test_a_fit_ends_with_the_epoch_in_which_it_reaches_its_steps(size, max_steps, epochs):
  """30 rows are 4 steps in batches of 8; 3 rows are fewer than a batch."""
  model, rows = make(max_steps=max_steps), data(size)
  state, report = jax.jit(model.fit)(
    model.init(jax.random.key(0)), rows, jnp.int32(size), jax.random.key(1), True
  )
  assert report["fit_epochs"] == epochs
  assert report["fit_steps"] == state.opt_state.count == epochs * -(-size // 8)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((state, report)))
  assert report["new_data_loss_after"] < report["new_data_loss_before"]


def test_an_inactive_fit_changes_nothing(fitted):
  model, rows, states, reports = fitted
  state, report = jax.jit(model.fit)(states[1], rows, jnp.int32(6), jax.random.key(3), False)
  jax.tree.map(np.testing.assert_array_equal, state, states[1])
  assert report["fit_epochs"] == report["fit_steps"] == report["model_loss"] == 0
  assert set(report) == set(reports[0])


def test_the_optimizer_continues_and_members_differ(fitted):
  _, _, states, reports = fitted
  assert [int(s.opt_state.count) for s in states] == [0, 16, 32]
  assert [x.tolist() for x in (s.reward_opt_state.count for s in states)][2] == [32] * 3
  for state in states:
    kernel = np.asarray(state.params.change.network["layer_0"]["kernel"])
    assert np.abs(kernel[0] - kernel[1]).max() > 1e-3
  assert reports[1]["model_loss"] < reports[0]["model_loss"]


def test_every_member_trains_on_every_row_in_its_own_order():
  """Each member's step on a batch of all rows is Adam's on the gradient of all rows."""
  model, rows = make(batch_size=CAP, epochs=1), data()
  start = model.init(jax.random.key(0))
  state, _ = jax.jit(model.fit)(start, rows, jnp.int32(0), jax.random.key(1), True)
  transition, change = valid(rows), state.params.change
  scale = np.where(change.targets.scale > 0, change.targets.scale, 1.0)
  x = jnp.float32(normalized(change.inputs, inputs_of(transition)))
  y = (transition.next_obs - transition.obs - change.targets.mean) / scale

  def loss(weights):
    h = x
    for i in range(3):
      h = h @ weights[f"layer_{i}"]["kernel"] + weights[f"layer_{i}"]["bias"]
      h = jnp.tanh(h) if i < 2 else h
    return jnp.mean(jnp.square(h - y)) / 2

  for e in range(3):
    before = jax.tree.map(lambda w, e=e: w[e], start.params.change.network)
    after = jax.tree.map(lambda w, e=e: w[e], change.network)
    gradient = jax.grad(loss)(before)
    expected = jax.tree.map(lambda w, g: w - 3e-3 * g / (jnp.abs(g) + 1e-8), before, gradient)
    clear = jax.tree.map(lambda g: np.abs(g) > 1e-5, gradient)
    jax.tree.map(
      lambda a, b, m: np.testing.assert_allclose(a[m], b[m], atol=2e-5), after, expected, clear
    )


@pytest.mark.slow
def test_learned_change_and_reward_approach_the_known_ones():
  model = make(learn_reward=True, reward_hidden=(32,), hidden=(32, 32), epochs=600,
               batch_size=32, max_steps=10**6)  # fmt: skip
  rows = data(CAP)
  state, report = jax.jit(model.fit)(
    model.init(jax.random.key(0)), rows, jnp.int32(CAP), jax.random.key(1), True
  )
  spread = np.var(np.asarray(rows.data.reward))
  assert report["model_loss"] < 0.02 and report["reward_error"] < 0.02 * spread
  assert (
    int(state.opt_state.count) == int(state.reward_opt_state.count[0]) == report["fit_steps"]
  )


def test_disagreement_is_the_largest_distance_of_two_members(fitted):
  model, rows, states, _ = fitted
  transition, params = valid(rows), states[2].params
  found = jax.jit(jax.vmap(lambda obs, action: disagreement(model, params, obs, action)))(
    transition.obs, transition.action
  )
  scale = np.float64(params.change.targets.scale)
  scale = np.where(scale > 0, scale, 1.0)
  each = [predicted(params, inputs_of(transition), e) / scale for e in range(3)]
  pairs = [np.linalg.norm(each[i] - each[j], axis=1) for i, j in ((0, 1), (0, 2), (1, 2))]
  np.testing.assert_allclose(found, np.max(pairs, 0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"members": 1}, "world_model.members=1 must be at least 2"),
    ({"weight_decay": -1.0}, "world_model.weight_decay=-1.0 must be at least 0"),
    ({"batch_size": 0}, "world_model.batch_size=0 must be positive"),
    ({"activation": "sin"}, "world_model.activation='sin' is not known"),
    ({"spec": SPEC._replace(reward=MissingReward("pass reward=fn"))}, "pass reward=fn"),
    ({"spec": SPEC._replace(terminated=MissingTermination("pass end=fn"))}, "pass end=fn"),
  ],
)
def test_invalid_models_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)


def test_a_model_that_learns_the_reward_needs_no_reward_function():
  assert make(SPEC._replace(reward=MissingReward("pass reward=fn")), learn_reward=True)
