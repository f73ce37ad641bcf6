"""The nets of Game-MBRL's world model, see ``difference_model``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mbrl_jax.models import init_optimizer
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.types import Array, EnvSpec, Key


@dataclass(frozen=True)
class DifferenceModelConfig:
  """The world model and its fit.

  Attributes:
    members: nets of the ensemble.
    hidden: widths of the hidden layers.
    activation: swish, relu or tanh.
    learning_rate: Adam's learning rate.
    weight_decay: L2 coefficient of the weights of all layers.
    batch_size: rows per net and gradient step.
    epochs: passes over the data in each fit.
    max_steps: gradient steps after which a fit ends with the epoch.
    learn_reward: learn the reward; otherwise it is the task's function.
    reward_hidden: widths of the hidden layers of the reward's nets.
    precision: of the matrix products, float32 or bfloat16.
  """

  members: int = 4
  hidden: tuple[int, ...] = (512, 512)
  activation: str = "relu"
  learning_rate: float = 1e-3
  weight_decay: float = 0.0
  batch_size: int = 200
  epochs: int = 25
  max_steps: int = 10_000
  learn_reward: bool = False
  reward_hidden: tuple[int, ...] = (100, 100)
  precision: str = "float32"


class ModelParams(NamedTuple):
  """Parameters of the members.

  Attributes:
    change: of the nets that predict the target.
    reward: of the nets that predict the reward; ``()``: the reward is known.
  """

  change: Any
  reward: Any


class ModelState(NamedTuple):
  """State of the model.

  Attributes:
    params: of all members.
    opt_state, reward_opt_state: the optimisers'.
  """

  params: ModelParams
  opt_state: optax.OptState
  reward_opt_state: Any


class DifferenceNets(NamedTuple):
  """Static parts of the model.

  Attributes:
    spec: the task.
    config: sizes and rates.
    recent: rows on which the loss before and after a fit is measured, at most.
    change: ensemble that predicts the target.
    reward: net of one member that predicts the reward.
    optimizer: of both.
  """

  spec: EnvSpec
  config: DifferenceModelConfig
  recent: int
  change: Ensemble
  reward: Ensemble
  optimizer: optax.GradientTransformation


def model_inputs(spec: EnvSpec, obs: Array, action: Array) -> Array:
  """Returns the inputs of the nets, actions clipped to the bounds."""
  bounded = jnp.clip(action, jnp.asarray(spec.action_low), jnp.asarray(spec.action_high))
  return jnp.concatenate([spec.encode(obs), bounded])


def predict_targets(
  nets: DifferenceNets, params: ModelParams, obs: Array, action: Array
) -> Array:
  """Returns the members' predictions ``[E, D]`` in units of the normalised targets."""
  inputs = model_inputs(nets.spec, obs, action)
  apply = jax.vmap(
    lambda member: nets.change.apply(member, inputs)[0], (nets.change.params_axes,)
  )
  scale = params.change.targets.scale
  return apply(params.change) / jnp.where(scale > 0, scale, 1.0)


def init_model(nets: DifferenceNets, key: Key) -> ModelState:
  """Makes the initial state."""
  spec, config = nets.spec, nets.config
  change_key, reward_key = jax.random.split(key)
  obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
  inputs, target = model_inputs(spec, obs, action), spec.target(obs, obs)
  change = nets.change.init(change_key, inputs, target)
  opt_state = init_optimizer(nets.change, nets.optimizer, change)
  if not config.learn_reward:
    return ModelState(ModelParams(change, ()), opt_state, ())
  both, one = jnp.concatenate([inputs, target]), jnp.zeros(1)
  keys = jax.random.split(reward_key, config.members)
  reward = jax.vmap(lambda key: nets.reward.init(key, both, one))(keys)
  states = jax.vmap(lambda params: init_optimizer(nets.reward, nets.optimizer, params))(reward)
  return ModelState(ModelParams(change, reward), opt_state, states)
