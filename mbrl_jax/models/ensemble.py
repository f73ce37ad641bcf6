"""Ensembles of neural networks that predict a target from an input (PETS).

Kinds (Chua et al. 2018): ``D`` one deterministic net, ``P`` one
probabilistic net, ``DE`` and ``PE`` ensembles of them. A probabilistic net has two
outputs per target, mean and log-variance; the latter is softly bounded by two learnt
vectors that all members share.

With target ``y``, predicted mean ``m`` and log-variance ``l`` of member ``e``, example ``b``
and output ``d`` the loss is

  sum_e mean_{b,d} [(m - y)^2 exp(-l) + l]          (P, PE)
  sum_e mean_{b,d} [(m - y)^2 / 2]                  (D, DE)
  + sum_layers decay / 2 |W|^2                       (weights of all members, no biases)
  + 0.01 sum_d max_log_var - 0.01 sum_d min_log_var  (P, PE)

*Deviations* from the original program: statistics of the normalisation are float32, so a
dimension counts as constant below a deviation of 1e-5 and not 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.models.blocks import BLOCK, in_blocks, over_blocks
from mbrl_jax.networks.mlp import ACTIVATIONS, MLP, PRECISIONS
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.gaussian import bounded_variance, gaussian_nll, soft_bound
from mbrl_jax.ops.normalize import (
  KINDS as SCALINGS,
)
from mbrl_jax.ops.normalize import (
  Normalizer,
  denormalize,
  fit_normalizer,
  identity_normalizer,
  normalize,
)
from mbrl_jax.ops.validate import ArgumentError, choice, positive
from mbrl_jax.types import Array, Key, Metrics, Params

NET_KINDS = ("D", "P", "DE", "PE")
_BOUND_WEIGHT = 0.01


class Ensemble(NamedTuple):
  """A learned model as pure functions.

  Everything is static and hashable, so it may be a static argument of ``jax.jit``.

  Attributes:
    init: ``(key, inputs, targets) -> params``, from shapes alone: arrays or
      ``jax.ShapeDtypeStruct`` of ``[..., I]`` and ``[..., O]``.
    apply: ``(member_params, x [I]) -> (mean [O], variance [O])`` of one member, in target
      units. Kinds without a variance return zeros.
    loss: ``(params, inputs [E, B, I], targets [E, B, O], weights [E, B]) -> (loss [],
      metrics)``; rows of weight 0 do not count, and blocks of them behind the others change
      nothing (see ``blocks``). ``metrics["mse"] [E]`` is in target units.
    prepare: ``(params, inputs [cap, I], targets [cap, O], size [], key) -> params``, called
      by ``fit`` before training on the first ``size`` rows.
    finish: ``(params, inputs, targets, size) -> params``, called by ``fit`` after training.
    kind: ``"D"``, ``"P"``, ``"DE"``, ``"PE"`` or ``"GP"``.
    members: ``E``.
    params_axes: ``vmap`` ``in_axes`` prefix of the member axis in ``params``; ``None`` where
      there is no such axis.
    trainable: names of the fields of ``params`` that gradients change.
  """

  init: Callable[[Key, Any, Any], Params]
  apply: Callable[[Params, Array], tuple[Array, Array]]
  loss: Callable[[Params, Array, Array, Array], tuple[Array, Metrics]]
  prepare: Callable[[Params, Array, Array, Array, Key], Params]
  finish: Callable[[Params, Array, Array, Array], Params]
  kind: str
  members: int
  params_axes: Any
  trainable: tuple[str, ...]

  @property
  def probabilistic(self) -> bool:
    """Whether a single member predicts a variance."""
    return self.kind in ("P", "PE", "GP")


class EnsembleParams(NamedTuple):
  """Parameters of an ensemble of nets.

  Attributes:
    network: weights and biases, leaves ``[E, ...]`` (one member's: ``[...]``).
    max_log_var, min_log_var: ``[O]`` bounds of the log-variance in the units in which the nets
      predict; shared by all members, unused by ``D`` and ``DE``.
    inputs, targets: normalisers of ``[I]`` and ``[O]``, shared by all members.
  """

  network: Params
  max_log_var: Array
  min_log_var: Array
  inputs: Normalizer
  targets: Normalizer


MEMBER_AXES = EnsembleParams(0, None, None, None, None)
"""``vmap`` axes of the member axis in ``EnsembleParams``."""


def take_members(params: EnsembleParams, indices: Array) -> EnsembleParams:
  """Returns the parameters of the members ``indices [K]``, elites for instance.

  The matching model is ``ensemble._replace(members=K)``.
  """
  return params._replace(network=jax.tree.map(lambda leaf: leaf[indices], params.network))


def make_ensemble(
  kind: str = "PE",
  members: int = 5,
  hidden: Sequence[int] = (200,) * 4,
  *,
  activation: str = "swish",
  weight_decay: float | Sequence[float] = 0.0,
  normalize_targets: bool = False,
  scaling: str = "std",
  log_var_init: tuple[float, float] = (-10.0, 0.5),
  precision: str = "float32",
) -> Ensemble:
  """Makes an ensemble of nets.

  Args:
    kind: ``"D"``, ``"P"`` (one member), ``"DE"`` or ``"PE"`` (several).
    members: ``E``.
    hidden: widths of the hidden layers.
    activation: ``"swish"``, ``"relu"`` or ``"tanh"``.
    weight_decay: one coefficient, or one for each layer including the last.
    normalize_targets: train on normalised targets. PETS does not; nets that predict
      residuals of very different sizes with a plain squared error need it.
    scaling: ``"std"`` or ``"mad"``, what the normalisation divides by.
    log_var_init: initial bounds of the log-variance.
    precision: of matrix products, ``"float32"`` or ``"bfloat16"``.

  Raises:
    ValueError: if an argument is not among its choices, ``members`` does not fit the
      kind, or ``weight_decay`` does not have one entry for each layer.
  """
  choice("kind", kind, NET_KINDS)
  choice("activation", activation, ACTIVATIONS)
  choice("scaling", scaling, SCALINGS)
  choice("precision", precision, PRECISIONS)
  _check_members(kind, members)
  positive(hidden=tuple(hidden))
  decay = _layer_decay(weight_decay, len(hidden) + 1)
  probabilistic = kind in ("P", "PE")

  def network(outputs):
    width = 2 * outputs if probabilistic else outputs
    return MLP((*hidden, width), activation, precision)

  def init(key, inputs, targets):
    size, outputs = inputs.shape[-1], targets.shape[-1]
    net, x = network(outputs), jnp.zeros(size)
    weights = jax.vmap(lambda k: net.init(k, x)["params"])(jax.random.split(key, members))
    low, high = (jnp.full(outputs, bound, jnp.float32) for bound in log_var_init)
    normalizers = identity_normalizer(size), identity_normalizer(outputs)
    return EnsembleParams(weights, high, low, *normalizers)

  def predict(params, x):
    """Returns mean and unbounded log-variance in the units in which the nets are trained."""
    outputs = params.max_log_var.shape[-1]
    out = network(outputs).apply({"params": params.network}, normalize(params.inputs, x))
    return jnp.split(out, 2, -1) if probabilistic else (out, jnp.zeros_like(out))

  def apply(params, x):
    mean, log_var = predict(params, x)
    variance = log_var
    if probabilistic:
      variance = bounded_variance(log_var, params.min_log_var, params.max_log_var)
    if not normalize_targets:
      return mean, variance
    return denormalize(params.targets, mean), variance * jnp.square(params.targets.scale)

  def row_sums(params, inputs, targets, weights):
    """Returns the members' sums of the error and of the squares in target units, ``[E]``."""
    mean, log_var = jax.vmap(predict, (MEMBER_AXES, 0))(params, inputs)
    wanted = normalize(params.targets, targets) if normalize_targets else targets
    squares = jnp.square(mean - wanted)
    if probabilistic:
      log_var = soft_bound(log_var, params.min_log_var, params.max_log_var)
      error = gaussian_nll(mean, log_var, wanted)
    else:
      error = squares / 2
    scale = jnp.square(params.targets.scale) if normalize_targets else 1.0
    return _row_sum(error, weights), _row_sum(squares * scale, weights)

  def loss(params, inputs, targets, weights):
    batch, count = (inputs, targets, weights), jnp.maximum(weights.sum(-1), 1e-6)
    if inputs.shape[1] <= BLOCK:
      error, squares = row_sums(params, *batch)
    else:
      blocks = [in_blocks(x, 1) for x in batch]
      one = lambda *block: (row_sums(params, *block), ())
      (error, squares), _ = over_blocks(one, (blocks[2] > 0).any((1, 2)), *blocks)
    fit = error / count
    total = fit.sum() + _decay_loss(params.network, decay)
    if probabilistic:
      total += _BOUND_WEIGHT * (params.max_log_var.sum() - params.min_log_var.sum())
    return total, {"fit": fit, "mse": squares / count}

  def prepare(params, inputs, targets, size, key):
    del key
    mask = jnp.arange(inputs.shape[0]) < size
    params = params._replace(inputs=fit_normalizer(inputs, mask, scaling))
    if normalize_targets:
      params = params._replace(targets=fit_normalizer(targets, mask, scaling))
    return params

  def finish(params, inputs, targets, size):
    del inputs, targets, size
    return params

  bounds = ("max_log_var", "min_log_var") if probabilistic else ()
  trainable = ("network", *bounds)
  functions = map(single, (init, apply, loss, prepare, finish))
  return Ensemble(*functions, kind, members, MEMBER_AXES, trainable)


def _check_members(kind: str, members: int) -> None:
  """Raises ``ValueError`` unless ``kind`` may have that many members."""
  if kind in ("D", "P") and members != 1:
    raise ArgumentError(
      "members",
      members,
      "does not fit {}, which is a single net ({}); the ensemble of it is {}.",
      ("kind", kind),
      ("members", 1),
      ("kind", f"{kind}E"),
    )
  if kind in ("DE", "PE") and members < 2:
    raise ArgumentError(
      "members",
      members,
      "does not fit {}, an ensemble of at least 2; the single net is {}.",
      ("kind", kind),
      ("kind", kind[0]),
    )


def _layer_decay(weight_decay: float | Sequence[float], layers: int) -> tuple[float, ...]:
  """Returns one decay coefficient for each layer."""
  if not isinstance(weight_decay, Sequence):
    weight_decay = (weight_decay,) * layers
  if len(weight_decay) != layers:
    raise ArgumentError(
      "weight_decay",
      tuple(weight_decay),
      f"has {len(weight_decay)} entries; expected one for each of the {layers} layers (the "
      "hidden ones and the last), or one number.",
    )
  if min(weight_decay) < 0:
    raise ArgumentError("weight_decay", tuple(weight_decay), "must not be negative.")
  return tuple(float(value) for value in weight_decay)


def _decay_loss(network: Params, decay: tuple[float, ...]) -> Array:
  """Returns ``sum_layers decay / 2 |W|^2``."""
  kernels = [network[f"layer_{i}"]["kernel"] for i in range(len(decay))]
  terms = [d / 2 * jnp.square(w).sum() for d, w in zip(decay, kernels, strict=True) if d]
  return sum(terms, jnp.zeros(()))


def _row_sum(values: Array, weights: Array) -> Array:
  """Averages ``values [E, B, O]`` over outputs and sums weighted rows, ``[E]``."""
  return jnp.where(weights > 0, values.mean(-1) * weights, 0.0).sum(-1)
