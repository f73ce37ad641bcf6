"""Fits a model to aggregated data, and reports its errors on old, new and validation rows.

Training rows get Gaussian noise, in each dimension of observations and targets with a share of
the mean's magnitude as its standard deviation. Errors are those without noise.

Source: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning", and its released code.

Deviations:
  * The normaliser is fitted anew to all training rows at each fit. The released code
    (``released``) keeps that of the old rows.
  * A dimension of negative mean gets noise, too, with ``released`` none.
  * The noise is drawn anew at each fit, with the means of the normaliser's rows; the released
    code draws it once, with those of each iteration's data.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.algorithms.parts.mixed_fit import MixedFitConfig, mixed_fit, normalized_mse
from mbrl_jax.algorithms.parts.multistep_errors import multistep_errors
from mbrl_jax.algorithms.parts.split_buffer import SplitRows
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.fit import FitResult
from mbrl_jax.models.propagate import pooled_moments
from mbrl_jax.ops.normalize import fit_normalizer
from mbrl_jax.types import Array, EnvSpec, Key, Metrics, Params


def fit_rows(
  spec: EnvSpec,
  model: Ensemble,
  params: Params,
  opt_state: optax.OptState,
  rows: SplitRows,
  key: Key,
  *,
  optimizer: optax.GradientTransformation,
  settings: MixedFitConfig,
  noise: Array | float,
  fraction_new: Array | float,
  released: bool = False,
) -> FitResult:
  """Fits the model to the training rows and tests it.

  Args:
    spec: of the task, with its ``encode`` and ``target``.
    model: made of nets.
    params: its parameters.
    opt_state: from ``init_optimizer`` or an earlier fit.
    rows: of ``sort_rows``.
    key: typed key.
    optimizer: an optax transformation.
    settings: epochs and batch size; its learning rate is that of ``optimizer``.
    noise: see above, ``[]``.
    fraction_new: of a batch, ``[]``.
    released: see Deviations.

  Returns:
    Parameters, optimiser state, and as metrics those of ``models.fit``, ``loss_old`` and
    ``loss_new`` (see ``normalized_mse``; 0 without rows), ``error_1`` to ``error_100`` (see
    ``multistep_errors``) and ``rows``, the number of training rows.
  """
  noise_key, prepare_key, fit_key, error_key = jax.random.split(key, 4)
  train, actions = rows.old + rows.new, rows.data.action
  features = jax.vmap(spec.encode)(rows.data.obs)
  targets = jax.vmap(spec.target)(rows.data.obs, rows.data.next_obs)
  inputs = jnp.concatenate([features, actions], axis=1)
  known = rows.old if released else train
  prepared = model.prepare(params, inputs, targets, known, prepare_key)
  noisy_features, noisy_targets = (
    x + noise * _noise_scale(x, known, released) * jax.random.normal(own_key, x.shape)
    for x, own_key in zip((features, targets), jax.random.split(noise_key), strict=True)
  )
  result = mixed_fit(
    model,
    prepared,
    opt_state,
    jnp.concatenate([noisy_features, actions], axis=1),
    noisy_targets,
    rows.old,
    rows.new,
    fit_key,
    optimizer=optimizer,
    epochs=settings.epochs,
    batch_size=settings.batch_size,
    fraction_new=fraction_new,
  )
  first = jnp.zeros((), jnp.int32)
  metrics = {
    **result.metrics,
    "loss_old": normalized_mse(model, result.params, inputs, targets, first, rows.old),
    "loss_new": normalized_mse(model, result.params, inputs, targets, rows.old, rows.new),
    **_validation_errors(spec, model, result.params, rows, error_key),
    "rows": train,
  }
  return result._replace(metrics=metrics)


def _noise_scale(x: Array, size: Array, released: bool) -> Array:
  """Returns the magnitude of the mean of the first ``size`` rows, ``[D]``; see Deviations."""
  mean = fit_normalizer(x, jnp.arange(len(x)) < size).mean
  return jnp.maximum(mean, 0.0) if released else jnp.abs(mean)


def _validation_errors(
  spec: EnvSpec, model: Ensemble, params: Params, rows: SplitRows, key: Key
) -> Metrics:
  """Returns the errors of open-loop predictions, in units of the normalised features."""

  def predict(obs: Array, action: Array) -> Array:
    inputs = jnp.concatenate([spec.encode(obs), action])
    return spec.decode(obs, pooled_moments(model, params, inputs)[0])

  def distance(predicted: Array, observed: Array) -> Array:
    difference = spec.encode(predicted) - spec.encode(observed)
    return jnp.mean(jnp.square(difference / params.inputs.scale[: len(difference)]))

  first = rows.old + rows.new
  return multistep_errors(predict, distance, rows.data, rows.group, first, rows.validation, key)
