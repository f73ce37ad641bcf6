"""Parameters, predictions and loss of an ensemble of nets; for equations see ``ensemble``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.models.blocks import BLOCK, in_blocks, over_blocks
from mbrl_jax.networks.mlp import MLP
from mbrl_jax.ops.gaussian import bounded_variance, gaussian_nll, soft_bound
from mbrl_jax.ops.normalize import (
  Normalizer,
  denormalize,
  fit_normalizer,
  identity_normalizer,
  normalize,
)
from mbrl_jax.types import Array, Key, Metrics, Params

_BOUND_WEIGHT = 0.01


class EnsembleParams(NamedTuple):
  """Parameters of an ensemble of nets.

  Attributes:
    network: weights and biases, leaves ``[E, ...]`` (of one member: ``[...]``).
    max_log_var, min_log_var: ``[O]`` bounds of the log-variance in the units of the nets'
      predictions; shared by all members, unused by ``D`` and ``DE``.
    inputs, targets: normalisers of ``[I]`` and ``[O]``, shared by all members.
  """

  network: Params
  max_log_var: Array
  min_log_var: Array
  inputs: Normalizer
  targets: Normalizer


MEMBER_AXES = EnsembleParams._make((0, None, None, None, None))
"""``vmap`` axes of the member axis in ``EnsembleParams``."""


def take_members(params: EnsembleParams, indices: Array) -> EnsembleParams:
  """Selects the parameters of the members ``indices [K]``, such as elites.

  The matching model is ``ensemble._replace(members=K)``.

  Example:
    >>> from mbrl_jax.models import make_ensemble
    >>> ensemble = make_ensemble("DE", members=3, hidden=(8,))
    >>> params = ensemble.init(jax.random.key(0), jnp.zeros(4), jnp.zeros(2))
    >>> elites = take_members(params, jnp.array([2, 0]))
    >>> elites.network["layer_0"]["kernel"].shape
    (2, 4, 8)
  """
  return params._replace(network=jax.tree.map(lambda leaf: leaf[indices], params.network))


@dataclass(frozen=True)
class EnsembleNets:
  """The functions of ``Ensemble`` for nets; see ``make_ensemble`` for the fields.

  Attributes:
    probabilistic: whether the nets predict a variance.
    weight_decay: one coefficient for each layer.
  """

  probabilistic: bool
  members: int
  hidden: tuple[int, ...]
  activation: str
  weight_decay: tuple[float, ...]
  normalize_targets: bool
  scaling: str
  log_var_init: tuple[float, float]
  precision: str

  def init(self, key: Key, inputs: Any, targets: Any) -> EnsembleParams:
    """Initialises the parameters from shapes."""
    size, outputs = inputs.shape[-1], targets.shape[-1]
    net, x = self._network(outputs), jnp.zeros(size)
    keys = jax.random.split(key, self.members)
    weights = jax.vmap(lambda k: net.init(k, x)["params"])(keys)
    low, high = (jnp.full(outputs, bound, jnp.float32) for bound in self.log_var_init)
    normalizers = identity_normalizer(size), identity_normalizer(outputs)
    return EnsembleParams(weights, high, low, *normalizers)

  def apply(self, params: EnsembleParams, x: Array) -> tuple[Array, Array]:
    """Returns mean and variance ``[O]`` of one member at ``x [I]``, in target units."""
    mean, log_var = self._predict(params, x)
    variance = log_var
    if self.probabilistic:
      variance = bounded_variance(log_var, params.min_log_var, params.max_log_var)
    if not self.normalize_targets:
      return mean, variance
    return denormalize(params.targets, mean), variance * jnp.square(params.targets.scale)

  def loss(
    self, params: EnsembleParams, inputs: Array, targets: Array, weights: Array
  ) -> tuple[Array, Metrics]:
    """Returns the loss of a batch, and its metrics."""
    batch, count = (inputs, targets, weights), jnp.maximum(weights.sum(-1), 1e-6)
    if inputs.shape[1] <= BLOCK:
      error, squares = self._row_sums(params, *batch)
    else:
      blocks = [in_blocks(x, 1) for x in batch]
      block_sums = lambda *block: (self._row_sums(params, *block), ())
      used = (blocks[2] > 0).any((1, 2))
      (error, squares), _ = over_blocks(block_sums, used, *blocks)
    fit = error / count
    total = fit.sum() + _decay_loss(params.network, self.weight_decay)
    if self.probabilistic:
      total += _BOUND_WEIGHT * (params.max_log_var.sum() - params.min_log_var.sum())
    return total, {"fit": fit, "mse": squares / count}

  def prepare(
    self, params: EnsembleParams, inputs: Array, targets: Array, size: Array, key: Key
  ) -> EnsembleParams:
    """Refits the normalisers to the first ``size`` rows."""
    del key
    mask = jnp.arange(inputs.shape[0]) < size
    params = params._replace(inputs=fit_normalizer(inputs, mask, self.scaling))
    if self.normalize_targets:
      scaling = fit_normalizer(targets, mask, self.scaling, constant_scale=0.0)
      params = params._replace(targets=scaling)
    return params

  def finish(
    self, params: EnsembleParams, inputs: Array, targets: Array, size: Array
  ) -> EnsembleParams:
    """Returns the parameters unchanged."""
    del inputs, targets, size
    return params

  def _network(self, outputs: int) -> MLP:
    width = 2 * outputs if self.probabilistic else outputs
    return MLP((*self.hidden, width), self.activation, self.precision)

  def _predict(self, params: EnsembleParams, x: Array) -> tuple[Array, Array]:
    """Returns mean and unbounded log-variance in the units of training."""
    net = self._network(params.max_log_var.shape[-1])
    # The type of flax's apply allows for mutable state, too.
    out: Any = net.apply({"params": params.network}, normalize(params.inputs, x))
    if not self.probabilistic:
      return out, jnp.zeros_like(out)
    mean, log_var = jnp.split(out, 2, -1)
    return mean, log_var

  def _row_sums(
    self, params: EnsembleParams, inputs: Array, targets: Array, weights: Array
  ) -> tuple[Array, Array]:
    """Returns each member's sums of the loss and of squared errors in target units, ``[E]``."""
    mean, log_var = jax.vmap(self._predict, (MEMBER_AXES, 0))(params, inputs)
    scaled = self._scaled(params, targets)
    squares = jnp.square(mean - scaled)
    if self.probabilistic:
      log_var = soft_bound(log_var, params.min_log_var, params.max_log_var)
      error = gaussian_nll(mean, log_var, scaled)
    else:
      error = squares / 2
    scale = jnp.square(params.targets.scale) if self.normalize_targets else 1.0
    return _row_sum(error, weights), _row_sum(squares * scale, weights)

  def _scaled(self, params: EnsembleParams, targets: Array) -> Array:
    """Returns targets in the units of training; constants are only centred."""
    if not self.normalize_targets:
      return targets
    scale = params.targets.scale
    return normalize(params.targets._replace(scale=jnp.where(scale > 0, scale, 1.0)), targets)


def _decay_loss(network: Params, decay: tuple[float, ...]) -> Array:
  """Returns ``sum_layers decay / 2 |W|^2``."""
  kernels = [network[f"layer_{i}"]["kernel"] for i in range(len(decay))]
  terms = [d / 2 * jnp.square(w).sum() for d, w in zip(decay, kernels, strict=True) if d]
  return sum(terms, jnp.zeros(()))


def _row_sum(values: Array, weights: Array) -> Array:
  """Averages ``values [E, B, O]`` over outputs and sums weighted rows, ``[E]``."""
  return jnp.where(weights > 0, values.mean(-1) * weights, 0.0).sum(-1)
