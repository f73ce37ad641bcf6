"""Trains a model on batches of old and new rows.

A batch of ``B`` rows has ``min(|new|, floor(B fraction))`` new rows, drawn uniformly with
replacement. Old rows make up the rest: an epoch is one pass over them in a fresh random order.
Without new rows this is ordinary training; if batches are all new, an epoch is a pass over the
new rows. Weights and optimiser state carry over between calls.

Source: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning", and its released code.

Deviations:
  * As in the released code, the rest of a pass that does not fill its share of a batch is left
    out; but fewer rows than that share make one smaller batch, where the released code would
    not train at all.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbrl_jax.models.data_split import shuffle
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.epoch import FitState, fit_metrics, gradient_step, start
from mbrl_jax.models.fit import FitResult
from mbrl_jax.types import Array, Key, Params

_BLOCK = 1024


@dataclass(frozen=True)
class MixedFitConfig:
  """Training of the dynamics.

  Attributes:
    epochs: passes over the old data.
    batch_size: rows per network and gradient step.
    learning_rate: Adam's.
  """

  epochs: int = 60
  batch_size: int = 512
  learning_rate: float = 1e-3


class Mixture(NamedTuple):
  """How batches are filled, ``[]`` int32.

  Attributes:
    first: row with which the rows of the pass begin.
    rows: number of rows of the pass.
    share: rows of the pass in a batch.
    drawn: further rows in a batch, drawn from the new ones.
  """

  first: Array
  rows: Array
  share: Array
  drawn: Array

  @property
  def batches(self) -> Array:
    """Gradient steps of an epoch, ``[]``."""
    return self.rows // jnp.maximum(self.share, 1)


def mix(old: Array, new: Array, batch_size: int, fraction_new: Array | float) -> Mixture:
  """Returns how batches are filled with ``old`` rows and the ``new`` rows after them."""
  # A rounding margin: 0.7 * 10 falls short of 7 in float32.
  most = jnp.floor(batch_size * jnp.asarray(fraction_new, jnp.float32) * np.float32(1 + 2**-22))
  drawn = jnp.minimum(new, most.astype(jnp.int32))
  from_old = (drawn < batch_size) & (old > 0)
  rows = jnp.where(from_old, old, new)
  return Mixture(
    first=jnp.where(from_old, 0, old),
    rows=rows,
    share=jnp.minimum(jnp.where(from_old, batch_size - drawn, batch_size), rows),
    drawn=jnp.where(from_old, drawn, 0),
  )


def draw_batch(
  order: Array, i: Array, mixture: Mixture, old: Array, new: Array, batch_size: int, key: Key
) -> tuple[Array, Array]:
  """Returns rows and weights ``[E, B]`` of batch ``i`` of an epoch.

  Args:
    order: of the pass, ``[E, cap]``.
    i: number of the batch, ``[]``.
    mixture: of ``mix``.
    old, new: as in ``mix``.
    batch_size: ``B``.
    key: typed key.

  Returns:
    Rows, and weights, 0 for positions that are not filled.
  """
  position = jnp.arange(batch_size, dtype=jnp.int32)
  index = jnp.minimum(i * mixture.share + position, order.shape[1] - 1)
  shape = (len(order), batch_size)
  picks = old + jax.random.randint(key, shape, 0, jnp.maximum(new, 1), jnp.int32)
  rows = jnp.where(position < mixture.share, mixture.first + order[:, index], picks)
  filled = position < mixture.share + mixture.drawn
  return jnp.where(filled, rows, 0), jnp.broadcast_to(jnp.float32(filled), shape)


def mixed_fit(
  ensemble: Ensemble,
  params: Params,
  opt_state: optax.OptState,
  inputs: Array,
  targets: Array,
  old: Array,
  new: Array,
  key: Key,
  *,
  optimizer: optax.GradientTransformation,
  epochs: Array | int,
  batch_size: int,
  fraction_new: Array | float,
) -> FitResult:
  """Trains ``params``, whose normalisers stay as they are.

  Numbers of rows and epochs and the fraction are traced: they do not recompile.

  Args:
    ensemble: a model made of nets.
    params: with normalisers of ``ensemble.prepare``.
    opt_state: from ``init_optimizer`` or an earlier fit.
    inputs, targets: ``[cap, I]`` and ``[cap, O]``; first the old rows, then the new ones;
      those after them are never trained on.
    old, new: numbers of these rows, ``[]`` int32.
    key: consumed.
    optimizer: an optax transformation.
    epochs: passes, 0 changes nothing.
    batch_size: ``B``.
    fraction_new: 0 to 1.

  Returns:
    Parameters, optimiser state, and metrics as those of ``fit``.
  """
  old, new, epochs = (jnp.asarray(x, jnp.int32) for x in (old, new, epochs))
  mixture = mix(old, new, batch_size, fraction_new)
  step = functools.partial(gradient_step, ensemble, optimizer, params)
  order = jnp.arange(len(inputs), dtype=jnp.int32)
  order = jnp.broadcast_to(order, (ensemble.members, len(inputs)))

  def batch(i: Array, state: FitState) -> FitState:
    assert state.rows is not None
    draw_key, key = jax.random.split(state.key)
    rows, weights = draw_batch(state.rows, i, mixture, old, new, batch_size, draw_key)
    return step(state._replace(key=key), inputs[rows], targets[rows], weights)

  def epoch(_: Array, state: FitState) -> FitState:
    assert state.rows is not None
    shuffle_key, key = jax.random.split(state.key)
    none, zero = jnp.zeros(()), jnp.zeros((), jnp.int32)
    state = state._replace(
      key=key,
      rows=shuffle(shuffle_key, state.rows, mixture.rows),
      loss=none,
      mse=jnp.zeros_like(state.mse),
      finite=zero,
    )
    return jax.lax.fori_loop(0, mixture.batches, batch, state)._replace(epoch=state.epoch + 1)

  epochs = jnp.where(mixture.rows > 0, epochs, 0)
  state = start(ensemble, params, opt_state, order, key, holdout=False)
  state = jax.lax.fori_loop(0, epochs, epoch, state)
  return FitResult(params._replace(**state.weights), state.opt_state, fit_metrics(state))


def normalized_mse(
  ensemble: Ensemble, params: Params, inputs: Array, targets: Array, first: Array, count: Array
) -> Array:
  """Returns the mean squared error of all members in units of the normalised targets, ``[]``.

  Args:
    ensemble: a model made of nets.
    params: its parameters.
    inputs, targets: ``[cap, I]`` and ``[cap, O]``.
    first: first row, ``[]``.
    count: number of rows, ``[]``; 0 without any.
  """
  scale = jnp.where(params.targets.scale > 0, params.targets.scale, 1.0)
  predict = jax.vmap(jax.vmap(ensemble.apply, (None, 0)), (ensemble.params_axes, None))

  def block(i: Array, total: Array) -> Array:
    index = i * _BLOCK + jnp.arange(_BLOCK, dtype=jnp.int32)
    rows = jnp.minimum(first + index, len(inputs) - 1)
    error = jnp.square((predict(params, inputs[rows])[0] - targets[rows]) / scale)
    return total + jnp.where(index < count, error.mean((0, 2)), 0.0).sum()

  blocks = (count + _BLOCK - 1) // _BLOCK
  return jax.lax.fori_loop(0, blocks, block, jnp.zeros(())) / jnp.maximum(count, 1)
