"""The world model of Game-MBRL: deterministic nets on normalised differences.

Inputs are the encoded observation and the action, targets are ``spec.target``, the change of
the observation; both are scaled by their mean absolute deviation, newly for each fit. Targets
that are constant in the data, such as the change of a goal, are predicted exactly. All members
see all data; they differ by their initial weights and by the order of the rows. Adam's state
persists over fits. The reward is that of the task, or learned as ``r(s, a, y)`` by one net per
member, where ``y`` is what the member predicts.

Source: Rajeswaran et al. 2020, "A Game Theoretic Framework for Model Based Reinforcement
Learning", and Kidambi et al. 2020, "MOReL" (the disagreement), with the released code.

Deviations:
  * The last, partial mini-batch is used; the released code drops it.
  * The penalty of weight decay excludes biases.
  * The learned reward takes the predicted target, not the predicted observation, because tasks
    reward differences.
  * Disagreement is measured in the units of the normalised targets.
  * Weights start from a truncated normal of deviation ``1 / (2 sqrt(inputs))``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.action_repeat import repeated_reward, repeated_termination
from mbrl_jax.algorithms.parts.difference_nets import (
  DifferenceModelConfig,
  DifferenceNets,
  ModelParams,
  ModelState,
  init_model,
  model_inputs,
  predict_targets,
)
from mbrl_jax.algorithms.parts.episode_buffer import Rows
from mbrl_jax.models import fit, make_ensemble, make_optimizer
from mbrl_jax.ops.missing import require_known
from mbrl_jax.ops.validate import between, positive, prefixed
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, Metrics, Params, Transition


class DifferenceModel(NamedTuple):
  """The world model as pure functions.

  Attributes:
    dynamics: over observations, one slice for each member; takes ``ModelParams`` and ignores
      its key.
    init: ``(key) -> ModelState``.
    fit: ``(ModelState, Rows, new [], key, active []) -> (ModelState, metrics)``; unless
      ``active`` the state is unchanged. Metrics are the mean squared errors in units of the
      normalised targets of the newest ``new`` rows (``recent`` at most),
      ``new_data_loss_before`` and ``new_data_loss_after`` the fit, and of all rows in the last
      epoch, ``model_loss``, to which each member adds ``weight_decay |W|^2``; ``fit_epochs``,
      ``fit_steps``; if it is learned, ``reward_error``, the mean squared error of the reward.
    predict: ``(ModelParams, obs [O], action [A]) -> [E, D]``, normalised targets.
  """

  dynamics: Dynamics
  init: Callable[[Key], ModelState]
  fit: Callable[[ModelState, Rows, Array, Key, Array], tuple[ModelState, Metrics]]
  predict: Callable[[ModelParams, Array, Array], Array]


@prefixed("world_model")
def make_difference_model(
  spec: EnvSpec,
  config: DifferenceModelConfig,
  *,
  action_repeat: int,
  recent: int,
  ends: bool = True,
) -> DifferenceModel:
  """Makes the world model of a task.

  Args:
    spec: the task.
    config: sizes and rates.
    action_repeat: environment steps of a step of the model.
    recent: rows on which the loss before and after a fit is measured, at most.
    ends: whether imagined episodes end by the task's termination function.

  Raises:
    ValueError: sizes or rates out of range, a reward or termination function that is needed
      and missing.
  """
  positive(batch_size=config.batch_size, epochs=config.epochs, max_steps=config.max_steps)
  positive(learning_rate=config.learning_rate, reward_hidden=tuple(config.reward_hidden))
  between(2, float("inf"), members=config.members)
  between(0.0, float("inf"), weight_decay=config.weight_decay)
  options: dict[str, Any] = {
    "activation": config.activation,
    "weight_decay": config.weight_decay,
    "normalize_targets": True,
    "scaling": "mad",
    "precision": config.precision,
  }
  nets = DifferenceNets(
    spec,
    config,
    recent,
    make_ensemble("DE", config.members, tuple(config.hidden), **options),
    make_ensemble("D", 1, tuple(config.reward_hidden), **options),
    make_optimizer(config.learning_rate),
  )
  reward = spec.reward if config.learn_reward else require_known(spec.reward)
  terminated = require_known(spec.terminated) if ends else _never
  step = functools.partial(
    _step,
    nets,
    repeated_reward(reward, action_repeat),
    repeated_termination(terminated, action_repeat),
  )
  axes = ModelParams(nets.change.params_axes, 0 if config.learn_reward else None)
  no_noise = lambda key, shape: jnp.zeros((*shape, 0))
  dynamics = Dynamics(step, slices=config.members, params_axes=axes, noise=no_noise)
  return DifferenceModel(
    dynamics,
    init=lambda key: init_model(nets, key),
    fit=lambda *args: _fit(nets, *args),
    predict=lambda params, obs, action: predict_targets(nets, params, obs, action),
  )


def _never(obs: Array, action: Array, next_obs: Array) -> Array:
  del obs, action, next_obs
  return jnp.zeros((), bool)


def _step(
  nets: DifferenceNets,
  reward: Any,
  terminated: Any,
  params: ModelParams,
  obs: Array,
  action: Array,
  _: Any,
) -> tuple[Array, Array, Array]:
  """Steps one member; see ``Dynamics.step``."""
  inputs = model_inputs(nets.spec, obs, action)
  y = nets.change.apply(params.change, inputs)[0]
  next_obs = nets.spec.decode(obs, y)
  if nets.config.learn_reward:
    gain = nets.reward.apply(_one(params.reward), jnp.concatenate([inputs, y]))[0][0]
  else:
    gain = reward(obs, action, next_obs)
  return next_obs, gain, terminated(obs, action, next_obs)


def _one(params: Any) -> Any:
  """Returns the parameters of the only member of a net."""
  return params._replace(network=jax.tree.map(lambda x: x[0], params.network))


def _fit(
  nets: DifferenceNets, state: ModelState, rows: Rows, new: Array, key: Key, active: Array
) -> tuple[ModelState, Metrics]:
  """Fits the members to the rows."""
  config, data = nets.config, rows.data
  change_key, reward_key = jax.random.split(key)
  inputs = jax.vmap(functools.partial(model_inputs, nets.spec))(data.obs, data.action)
  targets = jax.vmap(nets.spec.target)(data.obs, data.next_obs)
  settings = {
    "optimizer": nets.optimizer,
    "epochs": jnp.where(active, _epochs(config, rows.size), 0),
    "batch_size": config.batch_size,
    "bootstrap": False,
  }
  found = fit(
    nets.change, state.params.change, state.opt_state, inputs, targets, rows.size, change_key,
    **settings,
  )  # fmt: skip
  change: Any = found.params
  index = rows.size - 1 - jnp.arange(min(nets.recent, len(inputs)))
  newest = (index >= 0) & (index >= rows.size - new)
  recent = inputs[index], targets[index], newest
  loss = lambda params: _loss(nets, params, change.targets.scale, *recent)
  metrics = {
    "new_data_loss_before": loss(state.params.change),
    "new_data_loss_after": loss(change),
    "model_loss": 2 * found.metrics["loss"] / config.members,
    "fit_epochs": found.metrics["epochs"],
    "fit_steps": found.metrics["gradient_steps"],
  }
  params = ModelParams(change, state.params.reward)
  state = ModelState(params, found.opt_state, state.reward_opt_state)
  if config.learn_reward:
    state, error = _fit_reward(nets, state, inputs, data, rows.size, reward_key, settings)
    metrics["reward_error"] = error
  return state, metrics


def _epochs(config: DifferenceModelConfig, size: Array) -> Array:
  """Returns the epochs until ``max_steps`` gradient steps are reached."""
  steps = jnp.maximum(-(-size // config.batch_size), 1)
  return jnp.minimum(config.epochs, -(-config.max_steps // steps))


def _loss(
  nets: DifferenceNets, params: Any, scale: Array, inputs: Array, targets: Array, mask: Array
) -> Array:
  """Returns the mean squared error of the masked rows, relative to ``scale [D]``."""
  apply = jax.vmap(nets.change.apply, (nets.change.params_axes, None))
  predicted = jax.vmap(lambda x: apply(params, x)[0])(inputs)
  error = (predicted - targets[:, None]) / jnp.where(scale > 0, scale, 1.0)
  each = jnp.square(error).mean((1, 2))
  return jnp.sum(jnp.where(mask, each, 0.0)) / jnp.maximum(jnp.sum(mask), 1)


def _fit_reward(
  nets: DifferenceNets,
  state: ModelState,
  inputs: Array,
  data: Transition,
  size: Array,
  key: Key,
  settings: dict[str, Any],
) -> tuple[ModelState, Array]:
  """Fits each member's reward net to what that member predicts."""
  change = state.params.change

  def one(member: Params, reward: Params, opt_state: Any, key: Key) -> Any:
    predicted = jax.vmap(lambda x: nets.change.apply(member, x)[0])(inputs)
    both = jnp.concatenate([inputs, predicted], 1)
    return fit(
      nets.reward, reward, opt_state, both, data.reward[:, None], size, key, **settings
    )

  keys = jax.random.split(key, nets.config.members)
  over_members = jax.vmap(one, (nets.change.params_axes, 0, 0, 0))
  found = over_members(change, state.params.reward, state.reward_opt_state, keys)
  params = ModelParams(change, found.params)
  return ModelState(params, state.opt_state, found.opt_state), found.metrics["mse"].mean()
