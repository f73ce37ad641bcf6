"""A planner over learned dynamics, from configuration: what PETS, MBMF and DAgger act by."""

from __future__ import annotations

from typing import NamedTuple

from mbrl_jax.algorithms.parts.dynamics_config import ModelConfig, make_model
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig, make_mpc
from mbrl_jax.models import as_dynamics
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.propagate import check_propagation
from mbrl_jax.ops.validate import prefixed
from mbrl_jax.types import Array, Dynamics, EnvSpec, Params, Planner, PlanState


class ActParams(NamedTuple):
  """Parameters for acting.

  Attributes:
    model: parameters of the model.
    fresh: initial planner state of an episode.
    ready: the model is fitted, ``[]`` bool; until then actions are uniform.
    action_noise: see ``noisy_planner``, ``[]``; None: none.
  """

  model: Params
  fresh: PlanState
  ready: Array
  action_noise: Array | None = None


class ModelPlanner(NamedTuple):
  """A model and the planner over it.

  Attributes:
    model: the learned model.
    dynamics: the model with the task's reward and termination; takes the model's parameters.
    planner: over ``dynamics``.
    particles: rollouts of each plan.
  """

  model: Ensemble
  dynamics: Dynamics
  planner: Planner
  particles: int


def make_model_planner(
  spec: EnvSpec, model_config: ModelConfig, planner_config: PlannerConfig
) -> ModelPlanner:
  """Makes the model of a task and the planner over it.

  Raises:
    ValueError: unknown names, invalid combinations (trajectory sampling with one network,
      particles that do not divide among the networks) or sizes that are not positive.
  """
  model = make_model(model_config)
  with prefixed("model"):
    check_propagation(model.kind, model_config.propagation)
  dynamics = as_dynamics(
    model,
    reward=spec.reward,
    terminated=spec.terminated,
    encode=spec.encode,
    decode=spec.decode,
    propagation=model_config.propagation,
    outputs=spec.obs_dim,
  )
  particles = 1 if model_config.propagation == "E" else planner_config.particles
  planner = make_mpc(spec, dynamics, particles, planner_config)
  return ModelPlanner(model, dynamics, planner, particles)
