"""The value baseline of algorithms that learn by policy gradients, from configuration."""

from __future__ import annotations

from dataclasses import dataclass

from mbrl_jax.learners.baseline import Baseline, linear_baseline, network_baseline
from mbrl_jax.ops.validate import between, choice, positive, prefixed

KINDS = ("network", "linear")


@dataclass(frozen=True)
class BaselineConfig:
  """The value function.

  Attributes:
    kind: network, or linear in features of the observation and the time.
    hidden: widths of the network's hidden layers.
    learning_rate: Adam's learning rate, for the network.
    weight_decay: L2 coefficient of the network's weights and biases.
    batch_size: rows per gradient step of the network.
    epochs: passes over the trajectories in each fit of the network.
    ridge: penalty of the linear baseline.
  """

  kind: str = "network"
  hidden: tuple[int, ...] = (128, 128)
  learning_rate: float = 1e-3
  weight_decay: float = 1e-3
  batch_size: int = 128
  epochs: int = 1
  ridge: float = 1e-5


@prefixed("baseline")
def make_baseline(obs_dim: int, config: BaselineConfig) -> Baseline:
  """Makes the baseline over scaled observations ``[obs_dim]``.

  Raises:
    ValueError: an unknown kind, sizes or rates that are not positive.
  """
  choice("kind", config.kind, KINDS)
  positive(learning_rate=config.learning_rate)
  between(0.0, float("inf"), weight_decay=config.weight_decay, ridge=config.ridge)
  if config.kind == "linear":
    return linear_baseline(obs_dim, ridge=config.ridge)
  return network_baseline(
    obs_dim,
    hidden=tuple(config.hidden),
    learning_rate=config.learning_rate,
    weight_decay=config.weight_decay,
    batch_size=config.batch_size,
    epochs=config.epochs,
  )
