"""Types and protocols shared by all of mbrl_jax; no logic.

Axis letters, used everywhere in this order:

====== =====================================================================
letter axis
====== =====================================================================
``B``  batch
``E``  slices: ensemble members or randomised models
``P``  particles: sampled futures of one plan
``N``  candidate plans; environments of one learner
``H``  planning horizon
``T``  time steps of an episode
``O``  observation
``A``  action
====== =====================================================================

Functions take ``(params, state, action, key)``. Keys are typed
(``jax.random.key``), come last and are consumed. Rewards are maximised.
Functions handle a single example; batch them with ``jax.vmap``.
"""

from mbrl_jax.types.algorithms import (
  ActFn,
  Algorithm,
  Budget,
  Diagnostics,
  LearnFn,
  ObserveFn,
  Preload,
  TrainState,
)
from mbrl_jax.types.arrays import Array, Key, KeyOrNoise, Metrics, Noise, Params, State
from mbrl_jax.types.environments import (
  Env,
  EnvSpec,
  EnvState,
  RewardFn,
  Success,
  TerminationFn,
  Transition,
)
from mbrl_jax.types.planning import (
  PARTICLES,
  Dynamics,
  EvaluateFn,
  PlanFn,
  Planner,
  PlanOutput,
  PlanState,
  Policy,
  Proposal,
  SampleFn,
  Search,
  ShiftFn,
  StepFn,
  UpdateFn,
)

__all__ = [
  "PARTICLES",
  "ActFn",
  "Algorithm",
  "Array",
  "Budget",
  "Diagnostics",
  "Dynamics",
  "Env",
  "EnvSpec",
  "EnvState",
  "EvaluateFn",
  "Key",
  "KeyOrNoise",
  "LearnFn",
  "Metrics",
  "Noise",
  "ObserveFn",
  "Params",
  "PlanFn",
  "PlanOutput",
  "PlanState",
  "Planner",
  "Policy",
  "Preload",
  "Proposal",
  "RewardFn",
  "SampleFn",
  "Search",
  "ShiftFn",
  "State",
  "StepFn",
  "Success",
  "TerminationFn",
  "TrainState",
  "Transition",
  "UpdateFn",
]
