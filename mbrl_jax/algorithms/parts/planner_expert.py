"""The planner of another run as an expert to imitate, from configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms.parts.dynamics_config import ModelConfig
from mbrl_jax.algorithms.parts.model_planner import ActParams, make_model_planner
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig
from mbrl_jax.algorithms.parts.policy_warm_start import check_same_shapes
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.networks.actor import from_bounds
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, Params, PlanState


class ExpertParams(NamedTuple):
  """Parameters of the expert.

  Attributes:
    model: parameters of the planner's model.
    fresh: the planner's state at the start of an episode, in which it is queried.
  """

  model: Params
  fresh: PlanState


class PlannerExpert(NamedTuple):
  """The expert as pure functions.

  Attributes:
    init: ``(key) -> ExpertParams`` of a model that is not fitted.
    label: ``(params, obs [O], key) -> action [A]`` of a new plan, in units in which the bounds
      are -1 and 1.
    take: ``(own, params) -> ExpertParams`` with the model of another run, given what it acts
      by. ``ValueError`` if that is no planner over a learned model of the same sizes; names the
      first array that differs.
    dynamics: the model with the task's reward; takes ``ExpertParams.model``.
  """

  init: Callable[[Key], ExpertParams]
  label: Callable[[ExpertParams, Array, Key], Array]
  take: Callable[[ExpertParams, Params], ExpertParams]
  dynamics: Dynamics


def make_planner_expert(
  spec: EnvSpec, model_config: ModelConfig, planner_config: PlannerConfig
) -> PlannerExpert:
  """Makes the expert of a task.

  Args:
    spec: the task.
    model_config, planner_config: those of the run whose planner it is.

  Raises:
    ValueError: see ``make_model_planner``.
  """
  model, dynamics, planner, _ = make_model_planner(spec, model_config, planner_config)
  low, high = np.float32(spec.action_low), np.float32(spec.action_high)

  def init(key: Key) -> ExpertParams:
    blank = blank_transition(spec)
    inputs = jnp.concatenate([spec.encode(blank.obs), blank.action])
    targets = spec.target(blank.obs, blank.obs)
    return ExpertParams(model.init(key, inputs, targets), planner.init())

  def label(params: ExpertParams, obs: Array, key: Key) -> Array:
    output, _ = planner.plan(params.model, obs, params.fresh, key)
    return from_bounds(output.action, jnp.asarray(low), jnp.asarray(high))

  return PlannerExpert(init, label, _take, dynamics)


def _take(own: ExpertParams, params: Params) -> ExpertParams:
  """Returns ``own`` with the model of another run; see ``PlannerExpert``."""
  if not isinstance(params, ActParams):
    text = "must act by a planner over a learned model and nothing else, as mbmf and pets do."
    raise ArgumentError("params", NO_VALUE, text)
  check_same_shapes({"model": own.model}, {"model": params.model})
  return own._replace(model=jax.tree.map(jnp.asarray, params.model))
