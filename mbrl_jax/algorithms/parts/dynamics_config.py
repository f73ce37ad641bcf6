"""Learned dynamics of PETS, from configuration."""

from __future__ import annotations

from dataclasses import dataclass

from mbrl_jax.models import make_ensemble, make_gp
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.ops.validate import choice, positive, prefixed

KINDS = ("D", "P", "DE", "PE", "GP")


@dataclass(frozen=True)
class ModelConfig:
  """The learned dynamics.

  Attributes:
    kind: D, P, DE, PE (networks) or GP.
    propagation: E, DS, MM, TS1 or TSinf.
    members: networks of an ensemble; kinds D, P and GP always have one.
    hidden: widths of the hidden layers.
    activation: swish, relu or tanh.
    weight_decay: one coefficient for each layer including the last, or one for all.
    precision: of the matrix products, float32 or bfloat16.
    normalize_targets: train networks on normalised targets, see make_ensemble.
    inducing_points: inducing points of the GP.
  """

  kind: str = "PE"
  propagation: str = "TSinf"
  members: int = 5
  hidden: tuple[int, ...] = (500, 500, 500)
  activation: str = "swish"
  weight_decay: tuple[float, ...] = (1e-4, 2.5e-4, 2.5e-4, 5e-4)
  precision: str = "float32"
  normalize_targets: bool = False
  inducing_points: int = 200


@dataclass(frozen=True)
class FitConfig:
  """Training of the dynamics after each trial.

  Attributes:
    epochs: passes over all data.
    batch_size: rows per network and gradient step.
    learning_rate: Adam's.
    gp_epochs, gp_learning_rate: the same for the GP, which takes all rows in each step.
  """

  epochs: int = 5
  batch_size: int = 32
  learning_rate: float = 1e-3
  gp_epochs: int = 100
  gp_learning_rate: float = 0.05


@prefixed("model")
def make_model(config: ModelConfig) -> Ensemble:
  """Makes an ensemble or a GP from its configuration.

  Raises:
    ValueError: an unknown kind, or sizes that do not fit it.
  """
  choice("kind", config.kind, KINDS)
  positive(members=config.members)  # unused by a single net
  if config.kind == "GP":
    return make_gp(config.inducing_points)
  decay = tuple(config.weight_decay)
  return make_ensemble(
    config.kind,
    1 if config.kind in ("D", "P") else config.members,
    tuple(config.hidden),
    activation=config.activation,
    weight_decay=decay[0] if len(decay) == 1 else decay,
    normalize_targets=config.normalize_targets,
    precision=config.precision,
  )
