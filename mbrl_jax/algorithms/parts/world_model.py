"""The learned dynamics of model-based actor-critics: an ensemble and its elites.

Trained as in MBPO (Janner et al. 2019): part of the data is held out, training stops when no
member has improved for ``patience`` epochs, and the members with the least hold-out error are
the elites.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.buffers import ring
from mbrl_jax.models import as_dynamics, fit, init_optimizer, make_ensemble, make_optimizer
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.ensemble_nets import take_members
from mbrl_jax.ops.missing import require_known
from mbrl_jax.ops.validate import between, positive, prefixed
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, Metrics, Params, Transition


@dataclass(frozen=True)
class WorldModelConfig:
  """The ensemble and its training.

  Attributes:
    members: networks of the ensemble.
    elites: members used for prediction, those with the least error on held-out data.
    hidden: widths of the hidden layers.
    weight_decay: one coefficient for each layer including the last, or one for all.
    precision: of the matrix products, float32 or bfloat16.
    learn_reward: predict the reward instead of using the task's reward function.
    epochs: passes over the data at most.
    patience: epochs without improvement before training stops.
    holdout: share of the data held out, at most max_holdout rows.
    max_holdout: see holdout.
    batch_size: rows per member and gradient step.
    learning_rate: Adam's.
  """

  members: int = 7
  elites: int = 5
  hidden: tuple[int, ...] = (200, 200, 200, 200)
  weight_decay: tuple[float, ...] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
  precision: str = "float32"
  learn_reward: bool = True
  epochs: int = 200
  patience: int = 5
  holdout: float = 0.2
  max_holdout: int = 5000
  batch_size: int = 256
  learning_rate: float = 1e-3


class WorldModelState(NamedTuple):
  """State of the ensemble.

  Attributes:
    params: of all members.
    opt_state: the optimiser's.
    elites: indices of the elites ``[K]`` int32.
  """

  params: Params
  opt_state: optax.OptState
  elites: Array


class WorldModel(NamedTuple):
  """The learned model as pure functions.

  Attributes:
    dynamics: over the elites, one slice each; takes ``elite_params``.
    init: ``(key) -> WorldModelState``.
    fit: ``(WorldModelState, ring of transitions, key, epochs []) -> (WorldModelState,
      metrics)``; with 0 epochs the state is unchanged. Metrics are ``model_error``, the mean
      squared error of the elites on held-out data, and ``fit_epochs``.
  """

  dynamics: Dynamics
  init: Callable[[Key], WorldModelState]
  fit: Callable[..., tuple[WorldModelState, Metrics]]


def elite_params(state: WorldModelState) -> Params:
  """Returns the parameters of the elites."""
  return take_members(state.params, state.elites)


def fitted(state: WorldModelState) -> Array:
  """Returns whether the ensemble has been trained at all, ``[]`` bool."""
  return state.opt_state.count > 0


@prefixed("world_model")
def make_world_model(spec: EnvSpec, config: WorldModelConfig) -> WorldModel:
  """Makes the learned dynamics of a task.

  Raises:
    ValueError: more elites than members, sizes that are not positive, a hold-out outside
      0.01 to 0.9, a task without a termination function.
  """
  positive(elites=config.elites, epochs=config.epochs, batch_size=config.batch_size)
  positive(max_holdout=config.max_holdout, learning_rate=config.learning_rate)
  between(2, float("inf"), members=config.members)
  between(1, config.members, elites=config.elites)
  between(0.01, 0.9, holdout=config.holdout)
  between(0, float("inf"), patience=config.patience)
  decay = tuple(config.weight_decay)
  ensemble = make_ensemble(
    "PE",
    config.members,
    tuple(config.hidden),
    weight_decay=decay[0] if len(decay) == 1 else decay,
    precision=config.precision,
  )
  optimizer = make_optimizer(config.learning_rate)
  dynamics = as_dynamics(
    ensemble._replace(members=config.elites),
    reward=spec.reward,
    terminated=require_known(spec.terminated),
    encode=spec.encode,
    decode=spec.decode,
    learn_reward=config.learn_reward,
    outputs=_outputs(spec, config),
  )

  def init(key: Key) -> WorldModelState:
    obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
    inputs = jnp.concatenate([spec.encode(obs), action])
    params = ensemble.init(key, inputs, jnp.zeros(_outputs(spec, config)))
    opt_state = init_optimizer(ensemble, optimizer, params)
    return WorldModelState(params, opt_state, jnp.arange(config.elites))

  return WorldModel(
    dynamics=dynamics,
    init=init,
    fit=lambda *args: _fit(spec, config, ensemble, optimizer, *args),
  )


def _outputs(spec: EnvSpec, config: WorldModelConfig) -> int:
  """Returns the size of a member's prediction."""
  obs = jnp.zeros(spec.obs_dim)
  (size,) = jax.eval_shape(spec.target, obs, obs).shape
  return size + config.learn_reward


def _fit(
  spec: EnvSpec,
  config: WorldModelConfig,
  ensemble: Ensemble,
  optimizer: optax.GradientTransformation,
  state: WorldModelState,
  buffer: ring.Ring,
  key: Key,
  epochs: Array,
) -> tuple[WorldModelState, Metrics]:
  """Trains the ensemble and selects the elites."""
  data: Transition = buffer.data
  inputs = jnp.concatenate([jax.vmap(spec.encode)(data.obs), data.action], axis=1)
  targets = jax.vmap(spec.target)(data.obs, data.next_obs)
  if config.learn_reward:
    targets = jnp.concatenate([targets, data.reward[:, None]], axis=1)
  result = fit(
    ensemble,
    state.params,
    state.opt_state,
    inputs,
    targets,
    buffer.size,
    key,
    optimizer=optimizer,
    epochs=epochs,
    batch_size=config.batch_size,
    holdout=config.holdout,
    max_holdout=config.max_holdout,
    patience=config.patience,
  )
  best = jnp.argsort(result.metrics["holdout_mse"])[: config.elites]
  elites = jnp.where(result.metrics["epochs"] > 0, best, state.elites)
  report = {
    "model_error": jnp.mean(result.metrics["holdout_mse"][elites]),
    "fit_epochs": result.metrics["epochs"],
  }
  return WorldModelState(result.params, result.opt_state, elites), report
