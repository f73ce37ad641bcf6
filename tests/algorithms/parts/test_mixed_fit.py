"""Training on old and new rows: what batches hold, how many there are, the result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts import mixed_fit
from mbrl_jax.models import init_optimizer, make_ensemble, make_optimizer

CAP, BATCH = 40, 8
ADAM = make_optimizer(1e-2)
WEIGHTS = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]], np.float32)
SIZES = [
  # old, new, fraction; old rows and new rows of a batch, batches of an epoch
  (30, 0, 0.9, 8, 0, 3),
  (30, 0, 0.0, 8, 0, 3),
  (16, 20, 0.0, 8, 0, 2),
  (16, 20, 0.5, 4, 4, 4),
  (16, 20, 0.9, 1, 7, 16),  # floor(7.2)
  (16, 3, 0.9, 5, 3, 3),  # no more than there are; one old row is left out
  (16, 20, 0.7, 3, 5, 5),  # floor(5.6)
  (20, 7, 1.0, 1, 7, 20),
  (16, 20, 1.0, 0, 8, 2),  # a pass over the new rows; four are left out
  (0, 20, 0.5, 0, 8, 2),
  (5, 0, 0.5, 5, 0, 1),  # a smaller batch
  (2, 20, 0.5, 2, 4, 1),
]


def record():
  """Returns a model whose loss notes the rows of its batches, and the notes.

  A row is its first input: 100 and up for old rows, 200 for new, -1 for others.
  """
  ensemble = make_ensemble("D", 1, (4,))
  notes = []

  def loss(params, inputs, targets, weights):
    def note(inputs, targets, weights):
      assert np.isin(weights, (0.0, 1.0)).all()
      np.testing.assert_array_equal(inputs[..., 0], targets[..., 0])  # of the same row
      notes.append(inputs[0, weights[0] > 0, 0].tolist())

    jax.debug.callback(note, inputs, targets, weights, ordered=True)
    return ensemble.loss(params, inputs, targets, weights)

  return ensemble._replace(loss=loss), notes


RECORDER, NOTES = record()


@jax.jit
def recorded_fit(old, new, fraction, key):
  row = jnp.arange(CAP, dtype=jnp.float32)
  group = jnp.where(row < old, 100 + row, jnp.where(row < old + new, 200 + row - old, -1))
  x = jnp.stack([group] * 3, 1)
  params = RECORDER.init(jax.random.key(0), x, x[:, :2])
  return mixed_fit.mixed_fit(
    RECORDER, params, init_optimizer(RECORDER, ADAM, params), x, x[:, :2], old, new, key,
    optimizer=ADAM, epochs=2, batch_size=BATCH, fraction_new=fraction,
  ).metrics  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fraction", "from_old", "from_new", "batches"), SIZES)
def test_batches_hold_the_rows_of_the_released_code(
  old, new, fraction, from_old, from_new, batches
):
  NOTES.clear()
  metrics = recorded_fit(old, new, fraction, jax.random.key(3))
  jax.effects_barrier()
  assert len(NOTES) == metrics["gradient_steps"] == 2 * batches and metrics["epochs"] == 2
  epochs = NOTES[:batches], NOTES[batches:]
  passed = []
  for epoch in epochs:
    for rows in epoch:
      assert sum(100 <= row < 100 + old for row in rows) == from_old
      assert sum(200 <= row < 200 + new for row in rows) == from_new
      assert len(rows) == from_old + from_new
    passed.append([row for rows in epoch for row in rows if (row < 200) == (from_old > 0)])
    assert len(set(passed[-1])) == len(passed[-1])  # a pass takes each row once
  assert passed[0] != passed[1] or len(passed[0]) <= 2
  drawn = [row for rows in NOTES for row in rows if row >= 200]
  if from_old and new == 20 and len(drawn) > 60:
    assert len(set(drawn)) == 20  # drawn from all


def test_new_rows_are_drawn_with_replacement():
  NOTES.clear()
  recorded_fit(16, 20, 0.9, jax.random.key(0))
  jax.effects_barrier()
  drawn = [[row for row in rows if row >= 200] for rows in NOTES]
  assert any(len(set(rows)) < len(rows) for rows in drawn)
  counts = np.bincount(np.concatenate(drawn).astype(int) - 200, minlength=20)
  assert counts.sum() == 2 * 16 * 7 and counts.max() < 4 * counts.mean() and counts.min() > 0


def test_numbers_of_rows_and_the_fraction_do_not_recompile():
  recorded_fit(30, 0, 0.9, jax.random.key(0))
  before = recorded_fit._cache_size()
  recorded_fit(7, 12, 0.3, jax.random.key(1))
  assert recorded_fit._cache_size() == before


def data(seed=0):
  rng = np.random.default_rng(seed)
  inputs = rng.normal(size=(CAP, 3)).astype(np.float32)
  return jnp.asarray(inputs), jnp.asarray(inputs @ WEIGHTS)


def fitted(kind="D", members=1, old=20, new=10, epochs=3, change=lambda x: x, **options):
  model = make_ensemble(kind, members, (8,), normalize_targets=True)
  inputs, targets = data()
  params = model.init(jax.random.key(0), inputs, targets)
  size = jnp.int32(old + new)
  params = model.prepare(params, inputs, targets, size, jax.random.key(0))
  arguments = {"batch_size": BATCH, "fraction_new": 0.5, "optimizer": ADAM, **options}
  state = init_optimizer(model, ADAM, params)
  result = mixed_fit.mixed_fit(
    model, params, state, change(inputs), change(targets), old, new, jax.random.key(1),
    epochs=epochs, **arguments,
  )  # fmt: skip
  return model, params, result


def test_rows_after_the_training_rows_have_no_influence():
  """Validation rows are such rows."""
  whole = fitted()[2]
  cut = fitted(change=lambda x: x.at[30:].set(jnp.nan))[2]
  jax.tree.map(np.testing.assert_array_equal, whole, cut)
  assert whole.metrics["nonfinite_steps"] == 0


@pytest.mark.parametrize(("old", "new", "epochs"), [(0, 0, 3), (20, 10, 0)])
def test_no_rows_or_no_epochs_change_nothing(old, new, epochs):
  _, params, result = fitted(old=old, new=new, epochs=epochs)
  jax.tree.map(np.testing.assert_array_equal, result.params.network, params.network)
  assert result.metrics["gradient_steps"] == result.metrics["loss"] == 0


def test_one_full_batch_without_new_rows_is_a_step_of_adam_on_all_of_them():
  model, params, result = fitted(old=30, new=0, epochs=1, batch_size=64)
  inputs, targets = (x[None, :30] for x in data())
  loss = lambda net: model.loss(
    params._replace(network=net), inputs, targets, jnp.ones((1, 30))
  )
  gradient = jax.grad(lambda net: loss(net)[0])(params.network)
  for new, old, g in zip(
    *map(jax.tree.leaves, (result.params.network, params.network, gradient)), strict=True
  ):
    step = 1e-2 * g / (jnp.abs(g) + 1e-8)  # the first step of Adam
    np.testing.assert_allclose(new, old - step, atol=1e-5)


@pytest.mark.parametrize(("kind", "members"), [("D", 1), ("DE", 2)])
def test_learns_a_linear_function_and_reports_its_errors(kind, members):
  model, params, result = fitted(kind, members, epochs=150)
  inputs, targets = data()
  size = jnp.int32(20), jnp.int32(10)
  error = lambda params, *rows: mixed_fit.normalized_mse(model, params, inputs, targets, *rows)
  before, after = error(params, *size), error(result.params, *size)
  assert after < 0.1 * before
  predict = jax.vmap(jax.vmap(model.apply, (None, 0)), (model.params_axes, None))
  mean, _ = predict(result.params, inputs)
  squares = np.square((np.asarray(mean) - targets) / result.params.targets.scale)
  np.testing.assert_allclose(after, squares[:, 20:30].mean(), rtol=1e-4)
  assert error(result.params, jnp.int32(30), jnp.int32(0)) == 0
