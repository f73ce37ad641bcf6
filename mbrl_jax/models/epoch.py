"""Epochs of mini-batch training; the inner loop of ``fit``.

*Deviations*: a step whose loss or gradient is not finite is taken with a gradient of zero, and
counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.models.blocks import padded_length
from mbrl_jax.models.data_split import Split, shuffle
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.holdout import BestSnapshots
from mbrl_jax.models.optimizer import trainable_params
from mbrl_jax.types import Array, Key, Metrics, Params


class FitState(NamedTuple):
  """Carry of the epochs; ``loss``, ``mse`` and ``finite`` are sums over the current epoch."""

  weights: dict[str, Any]
  opt_state: optax.OptState
  rows: Array | None
  key: Key
  best: BestSnapshots | None
  epoch: Array
  steps: Array
  nonfinite: Array
  loss: Array
  mse: Array
  finite: Array


StepFn = Callable[[FitState, Array, Array, Array], FitState]
"""``(state, inputs [E, B, I], targets [E, B, O], weights [E, B]) -> state``."""


def start(
  ensemble: Ensemble,
  params: Params,
  opt_state: optax.OptState,
  rows: Array | None,
  key: Key,
  holdout: bool,
) -> FitState:
  """Returns the state before the first epoch."""
  zero, none = jnp.zeros((), jnp.int32), jnp.zeros(())
  each = jnp.zeros(ensemble.members)
  weights = trainable_params(ensemble, params)
  best = BestSnapshots(params.network, each + jnp.inf, zero) if holdout else None
  return FitState(weights, opt_state, rows, key, best, zero, zero, zero, none, each, zero)


def fit_metrics(state: FitState) -> Metrics:
  """Returns the metrics of a finished fit; NaN if the last epoch had no finite step."""
  trained = state.epoch > 0
  metrics = {
    "loss": jnp.where(trained, state.loss / state.finite, 0.0),
    "mse": jnp.where(trained, state.mse / state.finite, 0.0),
    "epochs": state.epoch,
    "gradient_steps": state.steps,
    "nonfinite_steps": state.nonfinite,
  }
  if state.best is not None:
    metrics["holdout_mse"] = jnp.where(trained, state.best.error, 0.0)
  return metrics


def run_epoch(
  state: FitState,
  step: StepFn,
  inputs: Array,
  targets: Array,
  split: Split,
  batch_size: int | None,
) -> FitState:
  """Shuffles each member's rows and trains on each of them once."""
  members, size = len(state.mse), batch_size
  state = state._replace(
    loss=jnp.zeros(()), mse=jnp.zeros(members), finite=jnp.zeros((), jnp.int32)
  )
  if size is None:
    return step(state, *_full_batch(members, inputs, targets, split))

  key, shuffle_key = jax.random.split(state.key)
  assert state.rows is not None  # fit draws them for mini-batches
  state = state._replace(key=key, rows=shuffle(shuffle_key, state.rows, split.train))

  def body(i: Array, state: FitState) -> FitState:
    assert state.rows is not None
    rows = jax.lax.dynamic_slice_in_dim(state.rows, i * size, size, 1)
    weights = (i * size + jnp.arange(size) < split.train).astype(jnp.float32)
    weights = jnp.broadcast_to(weights, rows.shape)
    return step(state, inputs[rows], targets[rows], weights)

  return jax.lax.fori_loop(0, (split.train + size - 1) // size, body, state)


def _full_batch(
  members: int, inputs: Array, targets: Array, split: Split
) -> tuple[Array, Array, Array]:
  """Returns inputs, targets and weights of all rows, in whole blocks, for each member."""
  rows = padded_length(len(inputs))
  weights = (jnp.arange(rows) < split.train).astype(jnp.float32)
  # Invalid rows must not reach a gradient.
  padded = (jnp.pad(x, ((0, rows - len(x)), (0, 0))) for x in (inputs, targets))
  x, y = (jnp.where(weights[:, None] > 0, x, 0.0) for x in padded)
  each = lambda x: jnp.broadcast_to(x, (members, *x.shape))
  return each(x), each(y), each(weights)


def gradient_step(
  ensemble: Ensemble,
  optimizer: optax.GradientTransformation,
  params: Params,
  state: FitState,
  inputs: Array,
  targets: Array,
  weights: Array,
) -> FitState:
  """Takes one optimiser step; a gradient that is not finite counts as zero.

  Zeroing the gradient, unlike selecting between old and new state, keeps the optimiser's
  update in place, which matters if the state does not fit in the cache.
  """

  def loss(trained: dict[str, Any]) -> tuple[Array, Metrics]:
    return ensemble.loss(params._replace(**trained), inputs, targets, weights)

  (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(state.weights)
  finite = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(gradient, squared=True))
  gradient = jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0.0), gradient)
  updates, opt_state = optimizer.update(gradient, state.opt_state, state.weights)
  return state._replace(
    weights=optax.apply_updates(state.weights, updates),
    opt_state=opt_state,
    steps=state.steps + 1,
    nonfinite=state.nonfinite + ~finite,
    loss=state.loss + jnp.where(finite, value, 0.0),
    mse=state.mse + jnp.where(finite, aux["mse"], 0.0),
    finite=state.finite + finite,
  )
