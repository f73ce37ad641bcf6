"""Optimiser state of a learned model."""

from __future__ import annotations

from typing import Any

import optax

from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Params


def trainable_params(ensemble: Ensemble, params: Params) -> dict[str, Any]:
  """Returns the optimised part of ``params``, by field name."""
  return {name: getattr(params, name) for name in ensemble.trainable}


def make_optimizer(learning_rate: float) -> optax.GradientTransformation:
  """Returns Adam with the rate as a number in its state, ``hyperparams["learning_rate"]``.

  Example:
    >>> import jax.numpy as jnp
    >>> state = make_optimizer(1e-3).init(jnp.zeros(2))
    >>> round(float(state.hyperparams["learning_rate"]), 6)
    0.001
  """
  # The others stay constants: traced, 1 - b1 would round differently and change runs.
  constants = ("b1", "b2", "eps", "eps_root")
  return optax.inject_hyperparams(optax.adam, static_args=constants)(learning_rate)


@single
def init_optimizer(
  ensemble: Ensemble, optimizer: optax.GradientTransformation, params: Params
) -> optax.OptState:
  """Returns the optimiser's state for the first ``fit``.

  Example:
    >>> import jax, jax.numpy as jnp
    >>> from mbrl_jax.models import make_ensemble
    >>> ensemble = make_ensemble("PE", members=2, hidden=(8,))
    >>> params = ensemble.init(jax.random.key(0), jnp.zeros(3), jnp.zeros(2))
    >>> state = init_optimizer(ensemble, make_optimizer(1e-3), params)
    >>> int(state.count)
    0
  """
  return optimizer.init(trainable_params(ensemble, params))
