"""The training loop: learning, dynamic sizes, warm start, hold-out, non-finite data."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl_jax.models.ensemble import make_ensemble
from mbrl_jax.models.fit import fit
from mbrl_jax.models.optimizer import init_optimizer, trainable_params

CAP, IN, OUT = 256, 3, 2
WEIGHTS = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]], np.float32)
NOISE = np.array([0.1, 0.4], np.float32)
ADAM = optax.adam(1e-2)


def data(cap=CAP, seed=0):
  rng = np.random.default_rng(seed)
  inputs = rng.normal(size=(cap, IN)).astype(np.float32)
  noise = NOISE * rng.normal(size=(cap, OUT)).astype(np.float32)
  return jnp.asarray(inputs), jnp.asarray(inputs @ WEIGHTS + noise)


def start(kind="PE", members=3, hidden=(16,), optimizer=ADAM, **options):
  ensemble = make_ensemble(kind, members, hidden, **options)
  params = ensemble.init(jax.random.key(0), *data())
  return ensemble, params, init_optimizer(ensemble, optimizer, params)


def count_traces(ensemble):
  """Returns the model with a loss that records its traces in a list."""
  traces = []

  def loss(*arguments):
    traces.append(1)
    return ensemble.loss(*arguments)

  return ensemble._replace(loss=loss), traces


PE = start()


def test_learns_a_linear_function_and_its_noise():
  ensemble, params, state = PE
  inputs, targets = data()
  result = fit(ensemble, params, state, inputs, targets, CAP, jax.random.key(1),
               optimizer=ADAM, epochs=120)  # fmt: skip
  x, _ = data(seed=9)
  predict = jax.vmap(jax.vmap(ensemble.apply, (None, 0)), (ensemble.params_axes, None))
  mean, variance = predict(result.params, x)
  error = np.sqrt(np.square(np.asarray(mean).mean(0) - np.asarray(x) @ WEIGHTS).mean(0))
  assert (error < [0.15, 0.25]).all()
  spread = np.sqrt(np.asarray(variance)).mean((0, 1))
  assert (spread > 0.4 * NOISE).all() and (spread < 1.5 * NOISE).all()
  assert result.metrics["gradient_steps"] == 120 * CAP // 32
  assert (result.metrics["mse"] < 0.3).all() and result.metrics["nonfinite_steps"] == 0


def test_neither_size_nor_epochs_recompile():
  ensemble, params, state = PE
  ensemble, traces = count_traces(ensemble)
  inputs, targets = data()
  steps = []
  for size, epochs in [(100, 2), (jnp.int32(33), 3), (CAP, jnp.array(1, jnp.int32))]:
    result = fit(ensemble, params, state, inputs, targets, size, jax.random.key(1),
                 optimizer=ADAM, epochs=epochs)  # fmt: skip
    steps.append(int(result.metrics["gradient_steps"]))
    if len(steps) == 1:
      first = len(traces)
  assert len(traces) == first
  assert steps == [2 * 4, 3 * 2, 8]


def test_rows_beyond_size_have_no_influence():
  ensemble, params, state = PE
  inputs, targets = data()
  invalid = inputs.at[50:].set(jnp.nan), targets.at[50:].set(1e9)
  results = [
    fit(ensemble, params, state, *pair, 50, jax.random.key(1), optimizer=ADAM, epochs=3)
    for pair in [(inputs, targets), invalid]
  ]
  chex.assert_trees_all_equal(results[0], results[1])


@pytest.mark.parametrize(("size", "epochs"), [(CAP, 0), (0, 5)])
def test_no_rows_or_no_epochs_change_nothing(size, epochs):
  ensemble, params, state = PE
  result = fit(ensemble, params, state, *data(), size, jax.random.key(1), optimizer=ADAM,
               epochs=epochs)  # fmt: skip
  chex.assert_trees_all_equal(result.params, params)
  chex.assert_trees_all_equal(result.opt_state, state)
  assert result.metrics["loss"] == 0 and result.metrics["epochs"] == 0


def test_vmapped_runs_may_differ_in_epochs():
  ensemble, params, state = PE
  keys = jax.random.split(jax.random.key(1), 2)
  inputs, targets = data()

  def run(key, epochs):
    return fit(ensemble, params, state, inputs, targets, 64, key, optimizer=ADAM, epochs=epochs)

  both = jax.vmap(run)(keys, jnp.array([0, 2], jnp.int32))
  alone = run(keys[1], 2)
  member = lambda i: jax.tree.map(lambda leaf: leaf[i], both.params)
  chex.assert_trees_all_equal(member(0), params)
  chex.assert_trees_all_close(member(1), alone.params, atol=1e-4)
  np.testing.assert_array_equal(both.metrics["gradient_steps"], [0, 4])


def test_weights_and_optimizer_state_carry_over():
  ensemble, params, state = PE
  inputs, targets = data()
  results = []
  for _ in range(4):
    result = fit(ensemble, params, state, inputs, targets, CAP, jax.random.key(1),
                 optimizer=ADAM, epochs=8)  # fmt: skip
    params, state = result.params, result.opt_state
    results.append(result.metrics)
  losses = [float(metrics["loss"]) for metrics in results]
  assert losses[0] > losses[1] > losses[3]
  assert state[0].count == 4 * 8 * 8


def test_one_epoch_of_full_and_partial_batches_equals_a_plain_loop():
  """Reproduces an epoch of SGD without bootstrap step by step from its batches."""
  sgd = optax.sgd(0.05)
  ensemble, params, state = start(optimizer=sgd)
  inputs, targets = data()
  seen = []

  def spy(params, x, y, weights):
    jax.debug.callback(lambda *batch: seen.append(batch), x, y, weights, ordered=True)
    return ensemble.loss(params, x, y, weights)

  result = fit(ensemble._replace(loss=spy), params, state, inputs, targets, 70,
               jax.random.key(1), optimizer=sgd, epochs=1, bootstrap=False)  # fmt: skip
  jax.effects_barrier()
  assert len(seen) == 3
  for member in range(3):
    rows = np.concatenate([x[member][w[member] > 0] for x, _, w in seen])
    assert len(rows) == 70
    np.testing.assert_array_equal(np.sort(rows, 0), np.sort(np.asarray(inputs[:70]), 0))
  np.testing.assert_array_equal(seen[-1][2].sum(1), [6, 6, 6])
  expected = ensemble.prepare(params, inputs, targets, 70, jax.random.key(0))
  for x, y, weights in seen:
    kept = int(weights[0].sum())
    batch = (jnp.asarray(leaf[:, :kept]) for leaf in (x, y, weights))
    gradient = jax.jit(jax.grad(lambda p, *b: ensemble.loss(p, *b)[0]))(expected, *batch)
    for name, leaf in trainable_params(ensemble, expected).items():
      step = jax.tree.map(lambda p, g: p - 0.05 * g, leaf, getattr(gradient, name))
      expected = expected._replace(**{name: step})
  chex.assert_trees_all_close(result.params, expected, atol=1e-5)


def test_normalizers_are_refitted_at_each_call():
  ensemble, params, state = start(normalize_targets=True, scaling="mad")
  inputs, targets = data()
  inputs = inputs * 7 + 3
  result = fit(ensemble, params, state, inputs, targets, 60, jax.random.key(1),
               optimizer=ADAM, epochs=1)  # fmt: skip
  valid = np.asarray(inputs[:60], np.float64)
  np.testing.assert_allclose(result.params.inputs.mean, valid.mean(0), rtol=1e-5)
  deviation = np.abs(valid - valid.mean(0)).mean(0)
  np.testing.assert_allclose(result.params.inputs.scale, deviation, rtol=1e-5)
  assert (result.params.targets.scale != 1).all()


@pytest.mark.slow
def test_holdout_keeps_each_members_best_snapshot_and_stops():
  """A rising learning rate diverges in later epochs, so the best snapshot is an early one."""
  schedule = optax.adam(lambda count: jnp.where(count < 60, 1e-2, 3.0))
  ensemble, params, state = start(hidden=(16, 16), optimizer=schedule)
  inputs, targets = data()
  run = lambda **options: fit(
    ensemble, params, state, inputs, targets, CAP, jax.random.key(1), optimizer=schedule,
    epochs=40, **options,
  )  # fmt: skip
  diverged, kept = run(), run(holdout=0.2, patience=3)
  assert kept.metrics["epochs"] < 40
  predict = jax.vmap(jax.vmap(ensemble.apply, (None, 0)), (ensemble.params_axes, None))
  x, y = data(seed=5)
  errors = [np.square(predict(r.params, x)[0] - y).mean((1, 2)) for r in (diverged, kept)]
  assert (errors[1] < 1.5).all() and (errors[0] > 2 * errors[1]).all()
  np.testing.assert_allclose(kept.metrics["holdout_mse"], errors[1], rtol=0.6)


def test_without_improvement_training_stops_after_patience():
  ensemble, params, state = start(optimizer=optax.sgd(0.0))
  result = fit(ensemble, params, state, *data(), CAP, jax.random.key(1),
               optimizer=optax.sgd(0.0), epochs=100, holdout=0.2, patience=4)  # fmt: skip
  # The first epoch always improves; training stops after five more without improvement.
  assert result.metrics["epochs"] == 6


def test_non_finite_rows_are_counted_and_leave_the_parameters_finite():
  ensemble, params, state = PE
  inputs, targets = data()
  targets = targets.at[3].set(jnp.nan)
  result = fit(ensemble, params, state, inputs, targets, CAP, jax.random.key(1),
               optimizer=ADAM, epochs=5)  # fmt: skip
  assert result.metrics["nonfinite_rows"] == 1
  assert 0 < result.metrics["nonfinite_steps"] < 40
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.params))
  assert np.isfinite(result.metrics["loss"])


def test_a_loss_that_is_never_finite_is_reported_as_nan():
  ensemble, params, state = PE
  inputs, targets = data()
  result = fit(ensemble, params, state, inputs, targets * jnp.nan, CAP, jax.random.key(1),
               optimizer=ADAM, epochs=1)  # fmt: skip
  assert np.isnan(result.metrics["loss"]) and result.metrics["nonfinite_steps"] == 8
  chex.assert_trees_all_equal(result.params.network, params.network)


@pytest.mark.parametrize("kind", ["PE", "DE"])
@pytest.mark.parametrize("batch_size", [32, None])
def test_non_finite_padding_changes_nothing_without_bootstrap(kind, batch_size):
  ensemble, params, state = start(kind)
  size = 40  # the second batch of 32 ends in padding
  inputs, targets = data()
  run = lambda inputs, targets: fit(
    ensemble, params, state, inputs, targets, size, jax.random.key(1),
    optimizer=ADAM, epochs=2, batch_size=batch_size, bootstrap=False,
  )  # fmt: skip
  expected = run(inputs, targets)
  got = run(inputs.at[size:].set(jnp.nan), targets.at[size:].set(jnp.inf))
  chex.assert_trees_all_equal(got, expected)
  assert got.metrics["nonfinite_steps"] == 0 and got.metrics["nonfinite_rows"] == 0
  assert (got.params.network["layer_0"]["kernel"] != params.network["layer_0"]["kernel"]).any()


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"batch_size": 0}, "batch_size=0 must be positive"),
    ({"holdout": 1.0}, "holdout=1.0 must lie between"),
    ({"holdout": 0.1, "batch_size": None}, r"holdout=0\.1 needs mini-batches"),
  ],
)
def test_invalid_arguments_raise(options, words):
  ensemble, params, state = PE
  with pytest.raises(ValueError, match=words):
    fit(ensemble, params, state, *data(), CAP, jax.random.key(1), optimizer=ADAM, epochs=1,
        **options)  # fmt: skip


def test_mismatched_arrays_raise():
  ensemble, params, state = PE
  inputs, targets = data()
  with pytest.raises(ValueError, match=r"same cap, got \(256, 3\) and \(255, 2\)"):
    fit(ensemble, params, state, inputs, targets[:-1], 3, jax.random.key(1), optimizer=ADAM,
        epochs=1)  # fmt: skip


@pytest.mark.parametrize("kind", ["DE", "PE"])
def test_a_single_row_is_both_training_and_held_out_row(kind):
  """Its error selects the snapshot: the last epoch is not always the best."""
  ensemble, params, state = start(kind)
  inputs, targets = data(cap=8)
  nan = jnp.where(jnp.arange(8)[:, None] < 1, 1.0, jnp.nan)
  result = fit(ensemble, params, state, inputs * nan, targets * nan, 1, jax.random.key(1),
               optimizer=ADAM, epochs=150, batch_size=4, holdout=0.2, patience=150)  # fmt: skip
  assert np.isfinite(result.metrics["loss"]) and result.metrics["gradient_steps"] == 150
  predict = jax.vmap(ensemble.apply, (ensemble.params_axes, None))
  mean, _ = predict(result.params, inputs[0])
  np.testing.assert_allclose(mean, np.broadcast_to(targets[0], mean.shape), atol=0.15)
  errors = np.square(np.asarray(mean) - targets[0]).mean(-1)
  np.testing.assert_allclose(result.metrics["holdout_mse"], errors, rtol=1e-3, atol=1e-6)
