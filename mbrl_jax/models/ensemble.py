"""Ensembles of neural networks for supervised dynamics models (PETS).

Kinds (Chua et al. 2018): ``D`` one deterministic net, ``P`` one probabilistic net, ``DE`` and
``PE`` ensembles of them. A probabilistic net has two outputs per target, mean and
log-variance; two learnt vectors, shared by all members, softly bound the latter.

With target ``y``, predicted mean ``m`` and log-variance ``l`` of member ``e``, example ``b``
and output ``d`` the loss is

  sum_e mean_{b,d} [(m - y)^2 exp(-l) + l]          (P, PE)
  sum_e mean_{b,d} [(m - y)^2 / 2]                  (D, DE)
  + sum_layers decay / 2 |W|^2                       (weights of all members, no biases)
  + 0.01 sum_d max_log_var - 0.01 sum_d min_log_var  (P, PE)

*Deviations* from the original program: normalisation statistics are float32, so a dimension
counts as constant below a deviation of 1e-5 instead of 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mbrl_jax.models.ensemble_nets import MEMBER_AXES, EnsembleNets
from mbrl_jax.networks.mlp import ACTIVATIONS, PRECISIONS
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.normalize import KINDS as SCALINGS
from mbrl_jax.ops.validate import ArgumentError, choice, positive
from mbrl_jax.types import Array, Key, Metrics, Params

NET_KINDS = ("D", "P", "DE", "PE")


class Ensemble(NamedTuple):
  """A learned model as pure functions.

  It is hashable, so it may be a static argument of ``jax.jit``.

  Attributes:
    init: ``(key, inputs, targets) -> params``, from shapes alone: arrays or
      ``jax.ShapeDtypeStruct`` of ``[..., I]`` and ``[..., O]``.
    apply: ``(member_params, x [I]) -> (mean [O], variance [O])`` of one member, in target
      units. Kinds without a variance return zeros.
    loss: ``(params, inputs [E, B, I], targets [E, B, O], weights [E, B]) -> (loss [],
      metrics)``; rows of weight 0 are ignored, and trailing blocks of them change no bit (see
      ``blocks``). ``metrics["mse"] [E]`` is in target units.
    prepare: ``(params, inputs [cap, I], targets [cap, O], size [], key) -> params``, called
      by ``fit`` before training on the first ``size`` rows.
    finish: ``(params, inputs, targets, size) -> params``, called by ``fit`` after training.
    kind: ``"D"``, ``"P"``, ``"DE"``, ``"PE"`` or ``"GP"``.
    members: ``E``.
    params_axes: ``vmap`` ``in_axes`` prefix of the member axis in ``params``; ``None``: no
      such axis.
    trainable: names of the fields of ``params`` that are optimised.
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
    """Whether each member predicts a variance."""
    return self.kind in ("P", "PE", "GP")


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
      residuals of very different scales with a plain squared error need it. A target that
      is constant in the data is then predicted exactly.
    scaling: scale of the normalisation, ``"std"`` or ``"mad"``.
    log_var_init: initial bounds of the log-variance.
    precision: of matrix products, ``"float32"`` or ``"bfloat16"``.

  Raises:
    ValueError: if an argument is not among its choices, ``members`` does not fit the
      kind, or ``weight_decay`` does not have one entry for each layer.

  Example:
    >>> import jax, jax.numpy as jnp
    >>> ensemble = make_ensemble("PE", members=3, hidden=(16,))
    >>> params = ensemble.init(jax.random.key(0), jnp.zeros(4), jnp.zeros(2))
    >>> predict = jax.vmap(ensemble.apply, (ensemble.params_axes, None))
    >>> [x.shape for x in predict(params, jnp.ones(4))]
    [(3, 2), (3, 2)]
  """
  choice("kind", kind, NET_KINDS)
  choice("activation", activation, ACTIVATIONS)
  choice("scaling", scaling, SCALINGS)
  choice("precision", precision, PRECISIONS)
  _check_members(kind, members)
  positive(hidden=tuple(hidden))
  nets = EnsembleNets(
    probabilistic=kind in ("P", "PE"),
    members=members,
    hidden=tuple(hidden),
    activation=activation,
    weight_decay=_layer_decay(weight_decay, len(hidden) + 1),
    normalize_targets=normalize_targets,
    scaling=scaling,
    log_var_init=log_var_init,
    precision=precision,
  )
  return _from_nets(nets, kind)


def _from_nets(nets: EnsembleNets, kind: str) -> Ensemble:
  """Bundles the functions of the nets."""
  bounds = ("max_log_var", "min_log_var") if nets.probabilistic else ()
  return Ensemble(
    init=single(nets.init),
    apply=single(nets.apply),
    loss=single(nets.loss),
    prepare=single(nets.prepare),
    finish=single(nets.finish),
    kind=kind,
    members=nets.members,
    params_axes=MEMBER_AXES,
    trainable=("network", *bounds),
  )


def _check_members(kind: str, members: int) -> None:
  """Raises ``ValueError`` unless ``members`` fits ``kind``."""
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
