"""The contracts that every part of mbrl_jax keeps; no logic.

Axis letters, used everywhere in this order:

====== =====================================================================
letter axis
====== =====================================================================
``B``  batch
``E``  slices: members of an ensemble, or randomised models
``P``  particles: samples of one plan's future
``N``  candidate plans; environments that one learner acts in
``H``  planning horizon
``T``  time of an episode
``O``  observation
``A``  action
====== =====================================================================

Functions take ``(params, state, action, key)``. Keys are typed
(``jax.random.key``), come last and are consumed. Rewards are maximised.
Everything is written for a single example; batching is ``jax.vmap``'s job.
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
  "TerminationFn",
  "TrainState",
  "Transition",
  "UpdateFn",
]
