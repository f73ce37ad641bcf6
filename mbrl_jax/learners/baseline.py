"""Value baselines of policy gradients: a neural network and a linear regression.

Both depend on the observation ``s`` and on the time step ``t`` of the episode, because returns
end at the horizon.

``network_baseline``: a ReLU net of ``[clip(s, -10, 10) / 10, tau, tau^2, tau^3, tau^4]``,
``tau = t / 1000``, fitted by Adam with an L2 penalty ``w / 2 |theta|^2`` to the squared error,
in mini-batches. Source: the released ``mjrl`` of Rajeswaran et al. 2017 and 2020.

``linear_baseline``: ``w^T [o, o^2, u, u^2, u^3, 1]``, ``o = clip(s, -10, 10)``,
``u = t / 100``, by least squares with a penalty ``ridge |w|^2``. Sources: Duan et al. 2016,
"Benchmarking deep reinforcement learning for continuous control", and the released ``rllab``.

Deviations:
  * The last, partial mini-batch is used; mjrl drops it and fails on fewer rows than one batch.
  * Biases start at 0; those of mjrl are drawn.
  * rllab solves the normal equations in double precision, with ten times the penalty after a
    NaN. Here, in single precision, columns are scaled and solved by QR and singular value
    decompositions, which do not square the condition number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.networks.gaussian_policy import TORCH_UNIFORM
from mbrl_jax.networks.mlp import MLP
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.masked import masked_mean, masked_variance
from mbrl_jax.ops.matmul import einsum, matmul
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key, Metrics, Params

_RCOND = 1e-6  # singular values below this, relative to the largest, are rounding errors
_CLIP = 10.0


class Baseline(NamedTuple):
  """A value function as pure functions; its state is any pytree of arrays.

  Attributes:
    init: ``(key) -> state``.
    value: ``(state, obs [..., O], time [...]) -> [...]``.
    fit: ``(state, obs [B, O], time [B], returns [B], valid [B] bool, key) -> (state,
      metrics)``, regression to the returns of the valid rows. Metrics: ``value_error_before``
      and ``value_error_after`` the fit, as fractions of the squared returns, and
      ``explained_variance`` before it, ``1 - Var(returns - values) / Var(returns)`` (0 for
      constant returns).
  """

  init: Callable[[Key], Any]
  value: Callable[[Any, Array, Array], Array]
  fit: Callable[[Any, Array, Array, Array, Array, Key], tuple[Any, Metrics]]


class NetworkBaselineState(NamedTuple):
  """State of ``network_baseline``.

  Attributes:
    params: of the net.
    opt_state: Adam's, kept over fits.
    learning_rate, weight_decay: ``[]``.
  """

  params: Params
  opt_state: optax.OptState
  learning_rate: Array
  weight_decay: Array


class LinearBaselineState(NamedTuple):
  """State of ``linear_baseline``.

  Attributes:
    weights: ``w [2 O + 4]``.
    ridge: ``[]``.
  """

  weights: Array
  ridge: Array


def network_baseline(
  obs_dim: int,
  *,
  hidden: Sequence[int] = (128, 128),
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-3,
  batch_size: int = 128,
  epochs: int = 1,
) -> Baseline:
  """Makes a neural baseline.

  Args:
    obs_dim: ``O``.
    hidden: widths of the hidden layers.
    learning_rate: Adam's.
    weight_decay: factor ``w`` of the L2 penalty.
    batch_size: rows of a mini-batch.
    epochs: of a fit.

  Raises:
    ValueError: sizes that are not positive.

  Example:
    >>> baseline = network_baseline(2, hidden=(8,), batch_size=4)
    >>> state = baseline.init(jax.random.key(0))
    >>> rows = jnp.ones((6, 2)), jnp.arange(6), jnp.ones(6), jnp.ones(6, bool)
    >>> state, metrics = baseline.fit(state, *rows, jax.random.key(1))
    >>> baseline.value(state, jnp.ones((6, 2)), jnp.arange(6)).shape
    (6,)
    >>> (metrics["value_error_after"] < metrics["value_error_before"]).item()
    True
  """
  positive(obs_dim=obs_dim, hidden=tuple(hidden), batch_size=batch_size, epochs=epochs)
  net = MLP((*hidden, 1), "relu", kernel_init=TORCH_UNIFORM)
  adam = optax.scale_by_adam()

  def init(key: Key) -> NetworkBaselineState:
    params = net.init(key, jnp.zeros(obs_dim + 4))["params"]
    floats = jnp.float32(learning_rate), jnp.float32(weight_decay)
    return NetworkBaselineState(params, adam.init(params), *floats)

  def predict(params: Params, features: Array) -> Array:
    out: Any = net.apply({"params": params}, features)
    return out[..., 0]

  def step(
    state: NetworkBaselineState, features: Array, returns: Array, used: Array
  ) -> NetworkBaselineState:
    loss = lambda params: masked_mean(jnp.square(predict(params, features) - returns), used)
    gradient = jax.grad(loss)(state.params)
    penalised = jax.tree.map(lambda g, x: g + state.weight_decay * x, gradient, state.params)
    updates, opt_state = adam.update(penalised, state.opt_state)
    params = jax.tree.map(lambda x, u: x - state.learning_rate * u, state.params, updates)
    return state._replace(params=params, opt_state=opt_state)

  def train(
    state: NetworkBaselineState, features: Array, returns: Array, valid: Array, key: Key
  ) -> NetworkBaselineState:
    size = min(batch_size, len(returns))
    count = jnp.sum(valid, dtype=jnp.int32)
    pad = lambda x: jnp.pad(x, (0, -len(x) % size))  # the last batch

    def epoch(state: NetworkBaselineState, key: Key) -> tuple[NetworkBaselineState, None]:
      rows = pad(_valid_first(key, valid))

      def batch(i: Array, state: NetworkBaselineState) -> NetworkBaselineState:
        chosen = jax.lax.dynamic_slice_in_dim(rows, i * size, size)
        used = i * size + jnp.arange(size, dtype=jnp.int32) < count
        return step(state, features[chosen], returns[chosen], used)

      return jax.lax.fori_loop(0, (count + size - 1) // size, batch, state), None

    return jax.lax.scan(epoch, state, jax.random.split(key, epochs))[0]

  return _baseline(init, lambda s, x: predict(s.params, x), network_features, train)


def linear_baseline(obs_dim: int, *, ridge: float = 1e-5) -> Baseline:
  """Makes a baseline linear in features; its values are 0 until the first fit.

  Args:
    obs_dim: ``O``.
    ridge: factor of the penalty.

  Raises:
    ValueError: sizes that are not positive.

  Example:
    >>> baseline = linear_baseline(1)
    >>> state = baseline.init(jax.random.key(0))
    >>> obs = jnp.arange(5.0)[:, None]
    >>> rows = obs, jnp.zeros(5), 3 * obs[:, 0] ** 2 + 1, jnp.ones(5, bool)
    >>> state, _ = baseline.fit(state, *rows, jax.random.key(1))
    >>> baseline.value(state, jnp.array([6.0]), jnp.zeros(())).round(2).item()
    109.0
  """
  positive(obs_dim=obs_dim)

  def init(key: Key) -> LinearBaselineState:
    del key
    return LinearBaselineState(jnp.zeros(2 * obs_dim + 4), jnp.float32(ridge))

  def train(
    state: LinearBaselineState, features: Array, returns: Array, valid: Array, key: Key
  ) -> LinearBaselineState:
    del valid, key  # rows of zeros do not matter
    return state._replace(weights=_ridge_regression(features, returns, state.ridge))

  predict = lambda state, features: matmul(features, state.weights)
  return _baseline(init, predict, linear_features, train)


def network_features(obs: Array, time: Array) -> Array:
  """Returns the inputs ``[..., O + 4]`` of ``network_baseline``."""
  scaled = jnp.asarray(time, jnp.float32)[..., None] / 1000.0
  powers = scaled ** jnp.arange(1.0, 5.0)
  return jnp.concatenate([jnp.clip(obs, -_CLIP, _CLIP) / _CLIP, powers], -1)


def linear_features(obs: Array, time: Array) -> Array:
  """Returns the features ``[..., 2 O + 4]`` of ``linear_baseline``."""
  clipped = jnp.clip(obs, -_CLIP, _CLIP)
  powers = (jnp.asarray(time, jnp.float32)[..., None] / 100.0) ** jnp.array(
    [1.0, 2.0, 3.0, 0.0]
  )
  return jnp.concatenate([clipped, jnp.square(clipped), powers], -1)


def _baseline(
  init: Callable[[Key], Any],
  predict: Callable[[Any, Array], Array],
  features: Callable[[Array, Array], Array],
  train: Callable[[Any, Array, Array, Array, Key], Any],
) -> Baseline:
  """Assembles a baseline; ``predict`` and ``train`` take features, 0 in invalid rows."""

  def fit(
    state: Any, obs: Array, time: Array, returns: Array, valid: Array, key: Key
  ) -> tuple[Any, Metrics]:
    # Zeros, because a gradient of zero times NaN is NaN.
    inputs = jnp.where(valid[:, None], features(obs, time), 0.0)
    returns = jnp.where(valid, returns, 0.0)
    before = returns - predict(state, inputs)
    state = train(state, inputs, returns, valid, key)
    after = returns - predict(state, inputs)
    scale = masked_mean(jnp.square(returns), valid) + 1e-8
    spread = masked_variance(returns, valid)
    left = masked_variance(before, valid) / jnp.where(spread > 0, spread, 1.0)
    metrics = {
      "value_error_before": masked_mean(jnp.square(before), valid) / scale,
      "value_error_after": masked_mean(jnp.square(after), valid) / scale,
      "explained_variance": jnp.where(spread > 0, 1.0 - left, 0.0),
    }
    return state, metrics

  value = lambda state, obs, time: predict(state, features(obs, time))
  return Baseline(single(init), single(value), single(fit))


def _valid_first(key: Key, valid: Array) -> Array:
  """Returns the row numbers ``[B]`` int32: the valid ones, shuffled, then the others."""
  order = jax.random.bits(key, valid.shape, jnp.uint32) >> 1
  order = jnp.where(valid, order, jnp.uint32(2**32 - 1))
  return jnp.argsort(order).astype(jnp.int32)


def _ridge_regression(features: Array, targets: Array, ridge: Array) -> Array:
  """Returns the weights ``[F]`` that minimise ``|X w - y|^2 + ridge |w|^2``.

  Args:
    features: ``X [B, F]``.
    targets: ``y [B]``.
    ridge: ``[]``.
  """
  scale = jnp.sqrt(einsum("bf,bf->f", features, features))
  scale = jnp.where(scale > 0, scale, 1.0)
  # The penalty as further rows, so that nothing is squared; the targets as a further column, so
  # that Q is never formed: R of [X y] is [[R, Q^T y], [0, ...]].
  rows = jnp.concatenate([features / scale, jnp.diag(jnp.sqrt(ridge) / scale)])
  column = jnp.concatenate([targets, jnp.zeros(len(scale), targets.dtype)])
  r = jnp.linalg.qr(jnp.concatenate([rows, column[:, None]], 1), mode="r")
  return jnp.linalg.lstsq(r[:-1, :-1], r[:-1, -1], rcond=_RCOND)[0] / scale
