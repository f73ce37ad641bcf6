"""Dynamics, searches and planners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key, KeyOrNoise, Metrics, Noise, Params, State

PARTICLES = "particles"
"""Name of the ``vmap`` axis over the particles of one plan and one slice.

A ``Dynamics.step`` that looks at all particles at once (moment matching) may
use collectives such as ``jax.lax.pmean(x, PARTICLES)`` over it.
"""


class StepFn(Protocol):
  """One transition of one system."""

  def __call__(
    self, params: Params, state: State, action: Array, key: KeyOrNoise
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
  noise: Callable[[Key, tuple[int, ...]], Noise] | None = None
  shuffle: bool = False


class Policy(Protocol):
  """Acts on the states of a ``Dynamics``."""

  def __call__(self, params: Params, state: State, key: Key) -> Array:
    """Returns an action ``[A]``; ``params`` are those of one slice."""


class EvaluateFn(Protocol):
  """Scores plans; the only place where a plan is scored."""

  def __call__(self, params: Params, state: State, plans: Array, key: Key) -> Array:
    """Returns of ``plans [N, H, A]`` from ``state``, ``[N]``; non-finite is -inf."""


class SampleFn(Protocol):
  """Asks a search for plans."""

  def __call__(self, state: Any, key: Key, size: int) -> tuple[Array, Any]:
    """Returns plans ``[size, H, A]`` within the bounds, and the state for ``update``.

    ``size`` is static. Most searches return the state as it was; one that remembers what it
    drew (velocities of a swarm, noise) keeps that in it.
    """


class UpdateFn(Protocol):
  """Tells a search what its plans were worth."""

  def __call__(self, state: Any, plans: Array, returns: Array) -> Any:
    """Returns the state after ``plans [N, H, A]`` had ``returns [N]``.

    ``state`` is the one that ``sample`` returned with the plans; behind those may stand
    proposals. A return of -inf marks a plan that must not win. A search with ``gradients``
    gets them as one more argument.
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
    metrics: dictionary of counts in this control step: ``nonfinite`` plans without a finite
      return, ``refused`` updates of the search that were not finite, ``iterations`` that
      changed the search.
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
