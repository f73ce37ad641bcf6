"""State records of the DeMo layer."""

from __future__ import annotations

from typing import NamedTuple

from mbrl_jax.algorithms.parts.lookahead import LookaheadHyperparams
from mbrl_jax.algorithms.parts.world_model import WorldModelState
from mbrl_jax.buffers import ring
from mbrl_jax.learners import ARSState
from mbrl_jax.types import Array, Metrics, Params, PlanState


class ActParams(NamedTuple):
  """Parameters for acting.

  Attributes:
    world_model: parameters of the elites.
    hyperparams: of the planner.
    ars: random search: the current policy and directions.
    round: number of policy updates, ``[]`` int32.
    fresh: initial planner state of an episode.
    ready: the model is fitted, ``[]`` bool; until then actions are uniform.
    greedy: evaluation, with the unperturbed policy, ``[]`` bool.
  """

  world_model: Params
  hyperparams: LookaheadHyperparams
  ars: ARSState
  round: Array
  fresh: PlanState
  ready: Array
  greedy: Array


class Carry(NamedTuple):
  """Carry of one environment; it runs the trials ``first``, ``first + stride``, ... of a round.

  Attributes:
    plan: the planner's state.
    random: uniform warm-up actions left, ``[]`` int32.
    first: its first trial in a round, ``[]`` int32.
    stride: distance between its trials, ``[]`` int32.
    trial: current trial, ``[]`` int32.
    round: round of the current trial, ``[]`` int32.
    whole: no uniform action in the episode so far, ``[]`` bool.
  """

  plan: PlanState
  random: Array
  first: Array
  stride: Array
  trial: Array
  round: Array
  whole: Array


class Learn(NamedTuple):
  """Learning state; ``N`` is the number of directions.

  Attributes:
    ars: the state of random search.
    round: number of policy updates, ``[]`` int32.
    returns: of the finished trials, ``[N, 2]``.
    booked: trials that are finished, ``[N, 2]`` bool.
    total: return so far of the running episode in each environment.
    world_model: the ensemble's state.
    buffer: transitions.
    hyperparams: of the planner.
    fresh: see ``ActParams``.
    metrics: of the last policy update.
  """

  ars: ARSState
  round: Array
  returns: Array
  booked: Array
  total: Array
  world_model: WorldModelState
  buffer: ring.Ring
  hyperparams: LookaheadHyperparams
  fresh: PlanState
  metrics: Metrics
