"""Trains a model on a padded data set in one compiled call.

As PETS trains (Chua et al. 2018, the released program): every call draws
fresh bootstrap index rows, one for each member, with replacement; an epoch walks over their
columns in mini-batches, the last partial batch included; after each epoch every row is
shuffled. Weights and the optimiser's state carry over from call to call. With hold-out, as
MBPO trains (Janner et al. 2019): each member keeps its best snapshot, and training stops
when no member has improved for more than ``patience`` epochs.

The number of valid rows and of epochs are data: neither recompiles. The length of the padding
changes no bit of what comes out (with XLA's flags for quick compilation: only the rounding).

*Deviations*: a step whose loss or gradient is not finite is taken with a gradient of zero, and
counted.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.models.blocks import padded_length
from mbrl_jax.models.data_split import Split, draw_rows, finite_rows, shuffle, split_rows
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.holdout import Best, holdout_error, keep_best
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import Array, Key, Metrics, Params


class FitResult(NamedTuple):
  """What ``fit`` returns.

  Attributes:
    params: the model's new parameters.
    opt_state: the optimiser's new state, for the next call.
    metrics: ``loss`` (mean of the last epoch, weight decay included), ``mse [E]`` (likewise,
      on the training batches, in target units), ``gradient_steps``, ``epochs`` (run),
      ``nonfinite_steps``, ``nonfinite_rows`` (of the data); with
      hold-out ``holdout_mse [E]`` of the snapshots. Without any epoch: zeros.
  """

  params: Params
  opt_state: optax.OptState
  metrics: Metrics


class Settings(NamedTuple):
  """The static arguments of ``fit``."""

  batch_size: int | None
  bootstrap: bool
  holdout: float
  max_holdout: int


def trainable_params(ensemble: Ensemble, params: Params) -> dict[str, Any]:
  """Returns the part of ``params`` that gradients change, by field name."""
  return {name: getattr(params, name) for name in ensemble.trainable}


def make_optimizer(learning_rate: float) -> optax.GradientTransformation:
  """Returns Adam with the rate as a number in its state, ``hyperparams["learning_rate"]``."""
  # The others stay constants: 1 - b1 would be rounded otherwise, and runs would not repeat.
  constants = ("b1", "b2", "eps", "eps_root")
  return optax.inject_hyperparams(optax.adam, static_args=constants)(learning_rate)


@single
def init_optimizer(
  ensemble: Ensemble, optimizer: optax.GradientTransformation, params: Params
) -> optax.OptState:
  """Returns the optimiser's state that the first ``fit`` wants."""
  return optimizer.init(trainable_params(ensemble, params))


@single
def fit(
  ensemble: Ensemble,
  params: Params,
  opt_state: optax.OptState,
  inputs: Array,
  targets: Array,
  size: Array | int,
  key: Key,
  *,
  optimizer: optax.GradientTransformation,
  epochs: Array | int,
  batch_size: int | None = 32,
  bootstrap: bool = True,
  holdout: float = 0.0,
  max_holdout: int = 5000,
  patience: Array | int = 5,
  min_improvement: Array | float = 0.01,
) -> FitResult:
  """Trains ``params`` on the first ``size`` rows of a data set.

  Args:
    ensemble: the model.
    params: its parameters, from ``ensemble.init`` or an earlier fit.
    opt_state: from ``init_optimizer`` or an earlier fit.
    inputs: ``[cap, I]``.
    targets: ``[cap, O]``.
    size: number of valid rows, from the first on.
    key: consumed.
    optimizer: an optax transformation.
    epochs: passes over the data. 0 (or ``size`` 0) changes nothing, normalisers included.
    batch_size: rows of each member in a gradient step; ``None``: all rows once in every
      step, without bootstrap.
    bootstrap: draw each member's rows with replacement. Otherwise members see
      all rows, each in its own order.
    holdout: fraction of the rows that is kept from training, the same rows for all members.
    max_holdout: at most so many rows are kept.
    patience: with hold-out, epochs without improvement that are tolerated.
    min_improvement: relative decrease of the hold-out error that counts as improvement.

  Raises:
    ValueError: on a batch size, hold-out or array shape that cannot be.
  """
  if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets):
    raise ValueError(
      "inputs and targets must be [cap, I] and [cap, O] with the same cap, got "
      f"{inputs.shape} and {targets.shape}."
    )
  if batch_size is None and holdout:
    raise ArgumentError("holdout", holdout, "needs mini-batches, not {}.", ("batch_size", None))
  positive(batch_size=1 if batch_size is None else batch_size, max_holdout=max_holdout)
  between(0.0, 0.9, holdout=holdout)
  settings = Settings(batch_size, bootstrap, float(holdout), max_holdout)
  size, epochs, patience = (jnp.asarray(x, jnp.int32) for x in (size, epochs, patience))
  min_improvement = jnp.asarray(min_improvement, jnp.float32)
  return _fit(
    params, opt_state, inputs, targets, size, key, epochs, patience, min_improvement,
    ensemble=ensemble, optimizer=optimizer, settings=settings,
  )  # fmt: skip


class _Loop(NamedTuple):
  """What the epochs carry; ``loss``, ``mse``, ``finite`` are sums over the current epoch."""

  weights: Any
  opt_state: optax.OptState
  rows: Array | None
  key: Key
  best: Best | None
  epoch: Array
  steps: Array
  broken: Array
  loss: Array
  mse: Array
  finite: Array


@functools.partial(jax.jit, static_argnames=("ensemble", "optimizer", "settings"))
def _fit(
  params, opt_state, inputs, targets, size, key, epochs, patience, min_improvement,
  *, ensemble, optimizer, settings,
):  # fmt: skip
  """Is the compiled part of ``fit``."""
  prepare_key, split_key, draw_key, key = jax.random.split(key, 4)
  active = (epochs > 0) & (size > 0)
  prepared = ensemble.prepare(params, inputs, targets, size, prepare_key)
  prepared = _select(active, prepared, params)
  split = split_rows(split_key, len(inputs), size, settings.holdout, settings.max_holdout)
  rows = None
  if settings.batch_size:
    columns = -(-len(inputs) // settings.batch_size) * settings.batch_size
    rows = draw_rows(draw_key, ensemble.members, columns, split, settings.bootstrap)
  step = functools.partial(_gradient_step, ensemble, optimizer, prepared)

  def unfinished(loop):
    more = active & (loop.epoch < epochs)
    return more & (loop.best.stale <= patience) if settings.holdout else more

  def epoch(loop):
    loop = _run_epoch(loop, step, inputs, targets, split, settings)
    if settings.holdout:
      params = prepared._replace(**loop.weights)
      error = holdout_error(ensemble, params, inputs, targets, split, settings.batch_size)
      best = keep_best(loop.best, loop.weights["network"], error, min_improvement)
      loop = loop._replace(best=best)
    return loop._replace(epoch=loop.epoch + 1)

  loop = _start(ensemble, prepared, opt_state, rows, key, settings)
  loop = jax.lax.while_loop(unfinished, epoch, loop)
  fitted = prepared._replace(**loop.weights)
  if settings.holdout:
    fitted = fitted._replace(network=loop.best.network)
  fitted = _select(active, ensemble.finish(fitted, inputs, targets, size), params)
  metrics = _metrics(loop) | {"nonfinite_rows": _broken_rows(inputs, targets, size)}
  return FitResult(fitted, loop.opt_state, metrics)


def _start(ensemble, params, opt_state, rows, key, settings):
  """Returns the carry before the first epoch."""
  zero, none = jnp.zeros((), jnp.int32), jnp.zeros(())
  each = jnp.zeros(ensemble.members)
  weights = trainable_params(ensemble, params)
  best = Best(params.network, each + jnp.inf, zero) if settings.holdout else None
  return _Loop(weights, opt_state, rows, key, best, zero, zero, zero, none, each, zero)


def _metrics(loop: _Loop) -> Metrics:
  """Returns the metrics of a finished fit; NaN where the last epoch had no finite step."""
  trained = loop.epoch > 0
  metrics = {
    "loss": jnp.where(trained, loop.loss / loop.finite, 0.0),
    "mse": jnp.where(trained, loop.mse / loop.finite, 0.0),
    "epochs": loop.epoch,
    "gradient_steps": loop.steps,
    "nonfinite_steps": loop.broken,
  }
  if loop.best is not None:
    metrics["holdout_mse"] = jnp.where(trained, loop.best.error, 0.0)
  return metrics


def _broken_rows(inputs: Array, targets: Array, size: Array) -> Array:
  """Counts the valid rows with an entry that is not finite."""
  return (~finite_rows(inputs, targets) & (jnp.arange(len(inputs)) < size)).sum()


def _select(condition: Array, new: Any, old: Any) -> Any:
  """Chooses between two trees of arrays."""
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _run_epoch(loop: _Loop, step, inputs, targets, split: Split, settings: Settings) -> _Loop:
  """Shuffles every member's rows and walks over them once."""
  members, size = len(loop.mse), settings.batch_size
  loop = loop._replace(
    loss=jnp.zeros(()), mse=jnp.zeros(members), finite=jnp.zeros((), jnp.int32)
  )
  if size is None:
    rows = padded_length(len(inputs))
    weights = (jnp.arange(rows) < split.train).astype(jnp.float32)
    # Nothing that stands behind the valid rows may reach a gradient.
    padded = (jnp.pad(x, ((0, rows - len(x)), (0, 0))) for x in (inputs, targets))
    clean = (jnp.where(weights[:, None] > 0, x, 0.0) for x in padded)
    batch = (*clean, weights)
    return step(loop, *(jnp.broadcast_to(x, (members, *x.shape)) for x in batch))

  key, shuffle_key = jax.random.split(loop.key)
  loop = loop._replace(key=key, rows=shuffle(shuffle_key, loop.rows, split.train))

  def body(i, loop):
    rows = jax.lax.dynamic_slice_in_dim(loop.rows, i * size, size, 1)
    weights = (i * size + jnp.arange(size) < split.train).astype(jnp.float32)
    weights = jnp.broadcast_to(weights, rows.shape)
    return step(loop, inputs[rows], targets[rows], weights)

  return jax.lax.fori_loop(0, (split.train + size - 1) // size, body, loop)


def _gradient_step(ensemble, optimizer, params, loop: _Loop, inputs, targets, weights) -> _Loop:
  """Takes one step of the optimiser; a gradient that is not finite counts as zero.

  Zeroing the gradient, unlike choosing between old and new state, keeps the optimiser's
  update in place, which counts where the state does not fit in the cache.
  """

  def loss(trained):
    return ensemble.loss(params._replace(**trained), inputs, targets, weights)

  (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(loop.weights)
  ok = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(gradient, squared=True))
  gradient = jax.tree.map(lambda leaf: jnp.where(ok, leaf, 0.0), gradient)
  updates, opt_state = optimizer.update(gradient, loop.opt_state, loop.weights)
  return loop._replace(
    weights=optax.apply_updates(loop.weights, updates),
    opt_state=opt_state,
    steps=loop.steps + 1,
    broken=loop.broken + ~ok,
    loss=loop.loss + jnp.where(ok, value, 0.0),
    mse=loop.mse + jnp.where(ok, aux["mse"], 0.0),
    finite=loop.finite + ok,
  )
