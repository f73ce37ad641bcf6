"""Padding of a data set changes no bit of a fit, so buffers may grow."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl_jax.models import blocks
from mbrl_jax.models.data_split import draw_rows, shuffle, split_rows
from mbrl_jax.models.ensemble import make_ensemble
from mbrl_jax.models.fit import fit
from mbrl_jax.models.gp import make_gp
from mbrl_jax.models.holdout import holdout_error
from mbrl_jax.models.optimizer import init_optimizer
from mbrl_jax.ops.normalize import fit_normalizer

SIZE, ROWS = 130, 1300
ADAM = optax.adam(1e-2)
NETS = {
  "D": make_ensemble("D", 1, (16,), scaling="mad", normalize_targets=True),
  "P": make_ensemble("P", 1, (16,), weight_decay=1e-3),
  "DE": make_ensemble("DE", 3, (16,), weight_decay=1e-3),
  "PE": make_ensemble("PE", 3, (16, 16), normalize_targets=True),
}


def data(cap, size, filling=np.nan):
  """Returns the first ``cap`` rows of one data set, with ``filling`` from ``size`` on."""
  rng = np.random.default_rng(0)
  x = rng.normal([0.3, -7.0, 100.0], [1.0, 3.0, 0.2], (ROWS, 3)).astype(np.float32)
  y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], 1) + rng.normal(0, 0.1, (ROWS, 2))
  x[size:], y[size:] = filling, filling
  return jnp.asarray(x[:cap]), jnp.asarray(y[:cap], jnp.float32)


def fitted(ensemble, cap, size=SIZE, **options):
  inputs, targets = data(cap, size)
  params = ensemble.init(jax.random.key(0), inputs, targets)
  state = init_optimizer(ensemble, ADAM, params)
  return fit(ensemble, params, state, inputs, targets, size, jax.random.key(1), optimizer=ADAM,
             epochs=2, **options)  # fmt: skip


def assert_padding_has_no_influence(ensemble, caps, size=SIZE, *, compare=None, **options):
  """Compares fits of different padding, bitwise by default."""
  compare = compare or chex.assert_trees_all_equal
  first, *others = (fitted(ensemble, cap, size, **options) for cap in caps)
  assert first.metrics["epochs"] == 2 and np.isfinite(first.metrics["loss"])
  for other in others:
    compare(first, other)


def assert_close(a, b):
  """Compares up to rounding: with flags for quick compilation the last bits may differ."""
  chex.assert_trees_all_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("kind", "batch_size", "bootstrap", "holdout"),
  [
    ("P", 32, False, 0.0),
    ("PE", 50, True, 0.2),
    pytest.param("D", 50, True, 0.2, marks=pytest.mark.slow),
    pytest.param("DE", 32, False, 0.2, marks=pytest.mark.slow),
    pytest.param("DE", None, False, 0.0, marks=pytest.mark.slow),
    pytest.param("PE", 32, True, 0.0, marks=pytest.mark.slow),
  ],
)
def test_nets_ignore_padding_up_to_rounding(kind, batch_size, bootstrap, holdout):
  options = {"batch_size": batch_size, "bootstrap": bootstrap, "holdout": holdout}
  assert_padding_has_no_influence(NETS[kind], (SIZE, 1000), compare=assert_close, **options)


@pytest.mark.parametrize("inducing_points", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_gp_ignores_padding_up_to_rounding(inducing_points):
  """Also with more inducing points than rows."""
  gp = make_gp(inducing_points)
  assert_padding_has_no_influence(gp, (SIZE, 1000), compare=assert_close, batch_size=None)


@pytest.mark.optimised
@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize(
  ("batch_size", "bootstrap", "holdout"),
  [(32, True, 0.2), (32, False, 0.0), (50, True, 0.0), (50, False, 0.2)],
)
def test_nets_ignore_padding_bitwise(kind, batch_size, bootstrap, holdout):
  options = {"batch_size": batch_size, "bootstrap": bootstrap, "holdout": holdout}
  assert_padding_has_no_influence(NETS[kind], (300, 1000), **options)


@pytest.mark.optimised
@pytest.mark.parametrize("kind", NETS)
def test_full_batch_nets_ignore_padding_bitwise(kind):
  caps = (SIZE, 300, 1000)
  assert_padding_has_no_influence(NETS[kind], caps, batch_size=None)


@pytest.mark.optimised
@pytest.mark.parametrize("size", [SIZE, blocks.BLOCK + 30])
@pytest.mark.parametrize("inducing_points", [20, 200])
def test_gp_ignores_padding_bitwise(size, inducing_points):
  caps = (size, 300, 1024)
  assert_padding_has_no_influence(make_gp(inducing_points), caps, size, batch_size=None)


@pytest.mark.slow
def test_loss_in_blocks_equals_the_loss_of_all_rows_at_once():
  """Up to rounding, with its gradient, and whatever the padding."""
  size = 2 * blocks.BLOCK + 40
  ensemble = NETS["PE"]
  inputs, targets = (jnp.stack(3 * [x]) for x in data(ROWS, size, 0.0))
  params = ensemble.init(jax.random.key(0), inputs[0], targets[0])
  params = ensemble.prepare(params, inputs[0], targets[0], size, jax.random.key(1))
  weights = jnp.broadcast_to(jnp.arange(ROWS) < size, (3, ROWS)).astype(jnp.float32)
  value = jax.value_and_grad(ensemble.loss, has_aux=True)
  got = value(params, inputs, targets, weights)
  parts = []
  for start in range(0, size, blocks.BLOCK):
    rows = slice(start, min(start + blocks.BLOCK, size))
    part = value(params, inputs[:, rows], targets[:, rows], weights[:, rows])
    parts.append(jax.tree.map(lambda leaf, n=rows.stop - rows.start: leaf * n / size, part))
  expected = jax.tree.map(lambda *leaves: sum(leaves), *parts)
  chex.assert_trees_all_close(got, expected, rtol=1e-4, atol=1e-4)


def test_blocks_without_rows_are_not_computed():
  seen = []

  def spy(x):
    jax.debug.callback(lambda x: seen.append(float(x)), x[0])
    return x.sum(), 2 * x

  x = blocks.in_blocks(jnp.arange(1.0, 4 * blocks.BLOCK))
  total, rows = blocks.over_blocks(spy, jnp.array([True, False, True, False]), x)
  jax.effects_barrier()
  assert sorted(seen) == [1.0, 1.0 + 2 * blocks.BLOCK]
  assert total == x[0].sum() + x[2].sum()
  np.testing.assert_array_equal(rows, 2 * x * np.array([1, 0, 1, 0])[:, None])


@pytest.mark.parametrize("kind", ["std", "mad"])
@pytest.mark.parametrize("size", [SIZE, 1100])
def test_normalizers_ignore_padding(kind, size):
  found = [
    fit_normalizer(data(cap, size, 1e6)[0], jnp.arange(cap) < size, kind)
    for cap in (size, size + 1, ROWS)
  ]
  for other in found[1:]:
    chex.assert_trees_all_equal(found[0], other)
  np.testing.assert_allclose(found[0].mean, data(size, size)[0].mean(0), rtol=1e-5)


def test_a_longer_first_axis_only_appends_random_bits():
  """The draws of ``data_split`` and of the GP rely on it."""
  for draw in (jax.random.bits, jax.random.uniform):
    short, long = (draw(jax.random.key(3), (n, 4)) for n in (11, 40))
    np.testing.assert_array_equal(short, long[:11])


def test_draws_splits_and_shuffles_ignore_padding():
  size, key = jnp.int32(SIZE), jax.random.key(2)

  def drawn(cap):
    split = split_rows(key, cap, size, 0.2, 5000)
    rows = draw_rows(key, 3, cap, split, True)
    mixed = shuffle(key, rows, split.train)
    return split.order[:SIZE], split.held, *(x[:, : SIZE - 26] for x in (rows, mixed))

  chex.assert_trees_all_equal(drawn(SIZE), drawn(1000))


def test_holdout_errors_are_the_mean_over_all_held_rows():
  ensemble = NETS["PE"]
  inputs, targets = data(ROWS, SIZE)
  params = ensemble.init(jax.random.key(0), inputs, targets)
  split = split_rows(jax.random.key(1), ROWS, jnp.int32(SIZE), 0.5, 5000)
  got = holdout_error(ensemble, params, inputs, targets, split, 16)  # 65 rows: 5 blocks
  rows = split.order[: int(split.held)]
  mean, _ = jax.vmap(jax.vmap(ensemble.apply, (None, 0)), (ensemble.params_axes, None))(
    params, inputs[rows]
  )
  expected = np.square(np.asarray(mean, np.float64) - np.asarray(targets[rows])).mean((1, 2))
  np.testing.assert_allclose(got, expected, rtol=1e-5)
