"""State records of M-DeMoRL and LOOP."""

from __future__ import annotations

from typing import NamedTuple

from mbrl_jax.algorithms.parts.lookahead import LookaheadHyperparams, PlannerParams
from mbrl_jax.algorithms.parts.world_model import WorldModelState
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.types import Array, Metrics, PlanState


class ActParams(NamedTuple):
  """Parameters for acting.

  Attributes:
    planner_params: of the planner, with those of the policy.
    fresh: initial planner state of an episode.
    ready: the model is fitted, ``[]`` bool; until then actions are uniform.
    greedy: evaluation, without exploration, ``[]`` bool.
  """

  planner_params: PlannerParams
  fresh: PlanState
  ready: Array
  greedy: Array


class Learn(NamedTuple):
  """Learning state.

  Attributes:
    sac: the actor-critic's state.
    world_model: the ensemble's state.
    real: ``D_ENV``.
    planned: ``D_MPC``.
    waiting: plans not yet rolled out into ``D_MPC``.
    real_ratio: share of real transitions in a batch, ``[]``.
    hyperparams: of the planner.
    fresh: see ``ActParams``.
    metrics: of the latest gradient step of the actor-critic.
  """

  sac: SACState
  world_model: WorldModelState
  real: ring.Ring
  planned: ring.Ring
  waiting: ring.Ring
  real_ratio: Array
  hyperparams: LookaheadHyperparams
  fresh: PlanState
  metrics: Metrics
