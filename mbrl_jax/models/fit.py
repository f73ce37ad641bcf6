"""Trains a model on a padded data set in one compiled call.

Follows PETS (Chua et al. 2018, the released program): every call draws a fresh bootstrap
sample of rows for each member, with replacement; an epoch goes through it in mini-batches,
including the last partial one; each epoch shuffles every member's rows. Weights and optimiser
state carry over between calls. Hold-out follows MBPO (Janner et al. 2019): each member keeps
its best snapshot, and training stops when no member has improved for more than ``patience``
epochs.

The numbers of valid rows and of epochs are traced: changing them does not recompile. The
padding does not change a bit of the result (with XLA's flags for quick compilation: only the
rounding).

*Deviations*: a step whose loss or gradient is not finite is taken with a gradient of zero, and
counted.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.models.data_split import draw_rows, finite_rows, split_rows
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.epoch import FitState, fit_metrics, gradient_step, run_epoch, start
from mbrl_jax.models.holdout import holdout_error, keep_best
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.types import Array, Key, Metrics, Params


class FitResult(NamedTuple):
  """Result of ``fit``.

  Attributes:
    params: new parameters of the model.
    opt_state: new state of the optimiser, for the next call.
    metrics: ``loss`` (mean of the last epoch, including weight decay), ``mse [E]`` (likewise,
      on the training batches, in target units), ``gradient_steps``, ``epochs`` (run),
      ``nonfinite_steps``, ``nonfinite_rows`` (of the data); with
      hold-out ``holdout_mse [E]`` of the snapshots. Zeros if no epoch ran.
  """

  params: Params
  opt_state: optax.OptState
  metrics: Metrics


class Settings(NamedTuple):
  """Static arguments of ``fit``."""

  batch_size: int | None
  bootstrap: bool
  holdout: float
  max_holdout: int


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
    params: parameters, from ``ensemble.init`` or an earlier fit.
    opt_state: from ``init_optimizer`` or an earlier fit.
    inputs, targets: ``[cap, I]`` and ``[cap, O]``.
    size: number of valid rows, which come first.
    key: consumed.
    optimizer: an optax transformation.
    epochs: passes over the data. 0 (or ``size`` 0) changes nothing, normalisers included.
    batch_size: rows per member in a gradient step; ``None``: full batch, no bootstrap.
    bootstrap: draw each member's rows with replacement. Otherwise each member trains on all
      rows, in its own order.
    holdout: fraction of rows held out from training, the same rows for all members.
    max_holdout: maximum number of held-out rows.
    patience: with hold-out, epochs without improvement before training stops.
    min_improvement: relative decrease of the hold-out error that counts as improvement.

  Raises:
    ValueError: an invalid batch size, hold-out or array shape.

  Example:
    >>> from mbrl_jax.models import init_optimizer, make_ensemble, make_optimizer
    >>> model, adam = make_ensemble("D", members=1, hidden=(8,)), make_optimizer(1e-2)
    >>> x = jnp.linspace(-1, 1, 32)[:, None]
    >>> params = model.init(jax.random.key(0), x, x)
    >>> state, key = init_optimizer(model, adam, params), jax.random.key(1)
    >>> result = fit(model, params, state, x, 2 * x, 32, key, optimizer=adam, epochs=5)
    >>> int(result.metrics["gradient_steps"])
    5
  """
  _check_arguments(inputs, targets, batch_size, holdout, max_holdout)
  settings = Settings(batch_size, bootstrap, float(holdout), max_holdout)
  size, epochs, patience = (jnp.asarray(x, jnp.int32) for x in (size, epochs, patience))
  min_improvement = jnp.asarray(min_improvement, jnp.float32)
  return _fit(
    params, opt_state, inputs, targets, size, key, epochs, patience, min_improvement,
    ensemble=ensemble, optimizer=optimizer, settings=settings,
  )  # fmt: skip


def _check_arguments(
  inputs: Array, targets: Array, batch_size: int | None, holdout: float, max_holdout: int
) -> None:
  """Checks the shapes and the static arguments of ``fit``."""
  if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets):
    raise ValueError(
      "inputs and targets must be [cap, I] and [cap, O] with the same cap, got "
      f"{inputs.shape} and {targets.shape}."
    )
  if batch_size is None and holdout:
    raise ArgumentError("holdout", holdout, "needs mini-batches, not {}.", ("batch_size", None))
  positive(batch_size=1 if batch_size is None else batch_size, max_holdout=max_holdout)
  between(0.0, 0.9, holdout=holdout)


@functools.partial(jax.jit, static_argnames=("ensemble", "optimizer", "settings"))
def _fit(
  params: Params,
  opt_state: optax.OptState,
  inputs: Array,
  targets: Array,
  size: Array,
  key: Key,
  epochs: Array,
  patience: Array,
  min_improvement: Array,
  *,
  ensemble: Ensemble,
  optimizer: optax.GradientTransformation,
  settings: Settings,
) -> FitResult:
  """Implements ``fit`` in compiled code."""
  prepare_key, split_key, draw_key, key = jax.random.split(key, 4)
  active = (epochs > 0) & (size > 0)
  prepared = ensemble.prepare(params, inputs, targets, size, prepare_key)
  prepared = _select(active, prepared, params)
  split = split_rows(split_key, len(inputs), size, settings.holdout, settings.max_holdout)
  rows = None
  if settings.batch_size:
    columns = -(-len(inputs) // settings.batch_size) * settings.batch_size
    rows = draw_rows(draw_key, ensemble.members, columns, split, settings.bootstrap)
  step = functools.partial(gradient_step, ensemble, optimizer, prepared)

  def unfinished(state: FitState) -> Array:
    more = active & (state.epoch < epochs)
    return more & (state.best.stale <= patience) if state.best is not None else more

  def epoch(state: FitState) -> FitState:
    state = run_epoch(state, step, inputs, targets, split, settings.batch_size)
    if state.best is not None and settings.batch_size is not None:
      params = prepared._replace(**state.weights)
      error = holdout_error(ensemble, params, inputs, targets, split, settings.batch_size)
      best = keep_best(state.best, state.weights["network"], error, min_improvement)
      state = state._replace(best=best)
    return state._replace(epoch=state.epoch + 1)

  state = start(ensemble, prepared, opt_state, rows, key, bool(settings.holdout))
  state = jax.lax.while_loop(unfinished, epoch, state)
  fitted = prepared._replace(**state.weights)
  if state.best is not None:
    fitted = fitted._replace(network=state.best.network)
  fitted = _select(active, ensemble.finish(fitted, inputs, targets, size), params)
  metrics = fit_metrics(state) | {"nonfinite_rows": _nonfinite_rows(inputs, targets, size)}
  return FitResult(fitted, state.opt_state, metrics)


def _nonfinite_rows(inputs: Array, targets: Array, size: Array) -> Array:
  """Counts the valid rows with an entry that is not finite."""
  return (~finite_rows(inputs, targets) & (jnp.arange(len(inputs)) < size)).sum()


def _select(condition: Array, new: Any, old: Any) -> Any:
  """Selects one of two pytrees of arrays."""
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
