"""The contracts that every part of mbrl_jax keeps; no logic.

Axis letters, used everywhere in this order:

====== =====================================================================
letter axis
====== =====================================================================
``B``  batch
``E``  slices: members of an ensemble, or randomised models
``P``  particles: samples of one plan's future
``N``  candidate plans
``H``  planning horizon
``T``  time of an episode
``O``  observation
``A``  action
====== =====================================================================

Functions take ``(params, state, action, key)``. Keys are typed
(``jax.random.key``), come last and are consumed. Rewards are maximised.
Everything is written for a single example; batching is ``jax.vmap``'s job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

Array = jax.Array
Key = jax.Array
Params = Any
State = Any
Metrics = dict[str, Any]

PARTICLES = "particles"
"""Name of the ``vmap`` axis over the particles of one plan and one slice.

A ``Dynamics.step`` that looks at all particles at once (moment matching) may
use collectives such as ``jax.lax.pmean(x, PARTICLES)`` over it.
"""


# --------------------------------------------------------------------------
# Dynamics and planning
# --------------------------------------------------------------------------


class StepFn(Protocol):
  """One transition of one system."""

  def __call__(
    self, params: Params, state: State, action: Array, key: Any
  ) -> tuple[State, Array, Array]:
    """Returns ``(next_state, reward [], terminated [] bool)``.

    ``key`` is a typed key or, where ``Dynamics.noise`` is given, possibly one
    sample of that noise: whoever supplies ``noise`` accepts both.
    """


class Dynamics(NamedTuple):
  """A system that can be planned over: learned, simulated or analytic.

  Attributes:
    step: one transition of one system, see ``StepFn``.
    slices: ``E``, the number of ensemble members or randomised models.
    params_axes: ``vmap`` ``in_axes`` prefix of the slice axis in ``params``;
      ``None``: all slices share ``params``.
    noise: optional ``(key, shape) -> noise`` that draws what ``step`` needs for
      a whole batch in one call (leaves ``[*shape, ...]``); one sample of it is
      then handed to ``step`` in place of a key. ``None``: ``step`` gets keys.
    shuffle: re-assign every plan's particles to slices at random at each step
      (trajectory sampling TS1) instead of once and for all (TSinf).
  """

  step: StepFn
  slices: int = 1
  params_axes: Any = None
  noise: Callable[[Key, tuple[int, ...]], Any] | None = None
  shuffle: bool = False


class EvaluateFn(Protocol):
  """Scores plans; the only place where a plan is scored."""

  def __call__(self, params: Params, state: State, plans: Array, key: Key) -> Array:
    """Returns of ``plans [N, H, A]`` from ``state``, ``[N]``; non-finite is -inf."""


class SampleFn(Protocol):
  """Asks a search for plans."""

  def __call__(self, state: Any, key: Key, size: int) -> Array:
    """Returns plans ``[size, H, A]`` within the bounds; ``size`` is static."""


class UpdateFn(Protocol):
  """Tells a search what its plans were worth."""

  def __call__(self, state: Any, plans: Array, returns: Array) -> Any:
    """Returns the state after ``plans [N, H, A]`` had ``returns [N]``.

    A return of -inf marks a plan that must not win. A search with ``gradients`` gets
    them as one more argument.
    """


class ShiftFn(Protocol):
  """Moves a search on in time."""

  def __call__(self, state: Any, steps: int) -> Any:
    """Returns the warm start after ``steps`` (static) rows of the plan have passed.

    It begins a new replan also with ``steps=0``: less than a knot has passed.
    """


class Search(NamedTuple):
  """All that differs between planners: ask and tell over plans.

  Where ``make_planner`` is given ``knots``, the rows ``H`` below are knots instead of
  control steps; a search need not know.

  Attributes:
    init: ``(low [H, A], high [H, A]) -> state``. Floats that a user would tune are
      arrays in the state, so changing them never recompiles.
    sample: see ``SampleFn``.
    update: see ``UpdateFn``.
    mean: ``(state) -> plan [H, A]``, what is executed.
    shift: see ``ShiftFn``.
    sizes: ``(iterations) -> tuple[int, ...]``, plans sampled at each iteration.
    gradients: ``update(state, plans, returns, gradients)`` also gets the derivative of
      each return by its plan, ``[N, H, A]``, 0 where it is not finite.
  """

  init: Callable[[Array, Array], Any]
  sample: SampleFn
  update: UpdateFn
  mean: Callable[[Any], Array]
  shift: ShiftFn
  sizes: Callable[[int], tuple[int, ...]]
  gradients: bool = False


class PlanState(NamedTuple):
  """What a planner carries from one control step to the next.

  Attributes:
    search: the search's own state (distribution and tunable floats).
    plan: the plan being executed, ``[H, A]``.
    value: best return among the candidates when it was made, ``[]``.
    age: control steps since ``plan`` was made, ``[]`` int32.
    phase: how far time has moved between the knots, ``[]`` int32; see ``ops.spline``.
    committed: actions chosen but not yet executed, because of latency, ``[L, A]``.
    tolerance: the search has converged when its mean moves by less, as a share of the
      action range, ``[]``; without effect where ``make_planner`` was given none.
  """

  search: Any
  plan: Array
  value: Array
  age: Array
  phase: Array
  committed: Array
  tolerance: Array


class PlanOutput(NamedTuple):
  """What a planner answers at one control step.

  Attributes:
    action: the action to take now, ``[A]``.
    plan: the whole plan as it was made, ``[H, A]``; ``action`` is its first row,
      or a later one where ``replan_every`` replays it.
    value: best return among the candidates when it was made, ``[]``.
    metrics: dictionary of scalars: ``nonfinite`` counts plans without a finite return,
      ``iterations`` those done in this control step.
  """

  action: Array
  plan: Array
  value: Array
  metrics: Metrics


class PlanFn(Protocol):
  """One control step of a planner."""

  def __call__(
    self, params: Params, state: State, plan_state: PlanState, key: Key
  ) -> tuple[PlanOutput, PlanState]:
    """Returns the action to take in ``state``, and what to hand in the next time."""


class Proposal(Protocol):
  """Suggests plans that compete with those a search samples."""

  def __call__(self, params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    """Returns plans ``[M, H, A]``, whose first row is the action chosen now."""


class Planner(NamedTuple):
  """A planner as pure functions.

  Attributes:
    init: ``() -> PlanState``, with which every episode begins.
    plan: see ``PlanFn``; ``jax.jit(planner.plan)`` works as it stands.
    sample: ``(plan_state, key, n) -> plans [n, H, A]``, ``n`` static: candidates that
      the search would try next, to draw them.
  """

  init: Callable[[], PlanState]
  plan: PlanFn
  sample: Callable[[PlanState, Key, int], Array]


# --------------------------------------------------------------------------
# Environments
# --------------------------------------------------------------------------


def _identity(obs: Array) -> Array:
  return obs


def _delta(obs: Array, next_obs: Array) -> Array:
  return next_obs - obs


def _add(obs: Array, target: Array) -> Array:
  return obs + target


class EnvSpec(NamedTuple):
  """What learners and planners may know of a task, all pure functions and shapes.

  Attributes:
    name: registered name.
    obs_dim: ``O``.
    action_low, action_high: bounds ``[A]`` (numpy float32).
    dt: seconds of one control step.
    episode_length: control steps after which an episode is truncated.
    reward: ``(obs [O], action [A], next_obs [O]) -> []``.
    terminated: ``(obs, action, next_obs) -> [] bool``.
    encode: observation -> features that a learned model is given.
    target: ``(obs, next_obs) -> `` what a learned model predicts, ``[O]``.
    decode: ``(obs, target) -> next_obs``, the inverse of ``target``.
    cost: ``(obs, action, next_obs) -> []``, what a safe planner keeps within a limit, apart
      from the reward; None: there is none.
  """

  name: str
  obs_dim: int
  action_low: Any
  action_high: Any
  dt: float
  episode_length: int
  reward: Callable[[Array, Array, Array], Array]
  terminated: Callable[[Array, Array, Array], Array]
  encode: Callable[[Array], Array] = _identity
  target: Callable[[Array, Array], Array] = _delta
  decode: Callable[[Array, Array], Array] = _add
  cost: Callable[[Array, Array, Array], Array] | None = None

  @property
  def action_dim(self) -> int:
    """``A``."""
    return len(self.action_low)


class EnvState(NamedTuple):
  """State of one environment.

  Attributes:
    physics: whatever the physics needs, a pytree of arrays.
    obs: current observation ``[O]``.
    steps: control steps since the reset, ``[]`` int32.
  """

  physics: Any
  obs: Array
  steps: Array


class Transition(NamedTuple):
  """One control step.

  Attributes:
    obs: ``[O]`` before the step.
    action: ``[A]`` as the agent chose it.
    reward: ``[]``.
    next_obs: ``[O]`` observed after the step and BEFORE any automatic reset.
    terminated: ``[]`` bool, the task ended (no value after it).
    truncated: ``[]`` bool, the time limit was hit (value goes on).
  """

  obs: Array
  action: Array
  reward: Array
  next_obs: Array
  terminated: Array
  truncated: Array


class Env(Protocol):
  """A task with its physics, as pure functions.

  Nothing resets by itself: whoever steps decides when to call ``reset``. One may have a
  method ``restart`` besides, see ``envs.restart``.
  """

  spec: EnvSpec

  def reset(self, key: Key) -> EnvState:
    """Draws an initial state."""

  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step of ``spec.dt`` seconds."""

  def observe(self, physics: Any) -> Array:
    """Observation ``[O]`` of a physics state."""

  def pose(self, state: EnvState) -> Array:
    """The configuration ``[Q]`` that a renderer needs to draw ``state``."""


# --------------------------------------------------------------------------
# Algorithms
# --------------------------------------------------------------------------


class TrainState(NamedTuple):
  """Everything a run is; saving it is the whole resume.

  Attributes:
    act: what acting needs (model or policy parameters, plan); goes to a robot.
    learn: what learning needs besides (optimisers, buffers, counters).
    rollout: where data collection stands, see ``algorithms.step``.
    key: typed random key.
    steps: environment steps taken, ``[]`` int32.
  """

  act: Any
  learn: Any
  rollout: Any
  key: Key
  steps: Array


class ActFn(Protocol):
  """The acting half of an algorithm; all that a robot runs."""

  def __call__(self, act: Any, obs: Array, key: Key) -> tuple[Array, Any, Metrics]:
    """Returns ``(action [A], act, info)`` for ``obs [O]``; ``info`` holds arrays."""


class ObserveFn(Protocol):
  """Takes in experience."""

  def __call__(self, state: TrainState, transition: Transition) -> TrainState:
    """Returns the state with one transition stored."""


class LearnFn(Protocol):
  """Learns from what was observed."""

  def __call__(self, state: TrainState) -> tuple[TrainState, Metrics]:
    """Learns if it is time to; metrics hold ``ran``, 1.0 if it was."""


class Insight(NamedTuple):
  """What an algorithm believes, for those who ask whether it is right.

  Attributes:
    dynamics: learned, over observations; ``None``: there is no model.
    params: ``(TrainState) -> params`` of the dynamics.
    q: ``(TrainState, obs [O], action [A]) -> []``, the discounted return that the critic
      expects; ``None``: there is no critic.
    discount: of that return.
  """

  dynamics: Dynamics | None = None
  params: Callable[[TrainState], Params] | None = None
  q: Callable[[TrainState, Array, Array], Array] | None = None
  discount: float = 1.0


class Algorithm(NamedTuple):
  """A learning system as pure functions.

  Attributes:
    init: ``(key) -> TrainState`` with ``rollout=None``.
    reset: ``(act) -> act``, forgets what belongs to the past episode.
    act: see ``ActFn``.
    observe: see ``ObserveFn``.
    update: see ``LearnFn``.
    deploy: ``(act) -> act``, as an evaluation or a robot wants it: without exploration.
    plans: whether an action takes a plan, which fills the machine by itself; without one,
      evaluation episodes run side by side.
    insight: see ``Insight``.
  """

  init: Callable[[Key], TrainState]
  reset: Callable[[Any], Any]
  act: ActFn
  observe: ObserveFn
  update: LearnFn
  deploy: Callable[[Any], Any] = _identity
  plans: bool = True
  insight: Insight = Insight()
