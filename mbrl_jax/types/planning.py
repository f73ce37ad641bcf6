"""Dynamics, searches and planners: records and protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key, KeyOrNoise, Metrics, Noise, Params, State

PARTICLES = "particles"
"""Name of the ``vmap`` axis over the particles of one plan and one slice.

A ``Dynamics.step`` that couples all particles (moment matching) may use collectives
over it, such as ``jax.lax.pmean(x, PARTICLES)``.
"""


class StepFn(Protocol):
  """Steps one system once."""

  def __call__(
    self, params: Params, state: State, action: Array, key: KeyOrNoise
  ) -> tuple[State, Array, Array]:
    """Returns ``(next_state, reward [], terminated [] bool)``.

    ``key`` is a typed key or, if ``Dynamics.noise`` is set, possibly one sample of that
    noise: a step function with ``noise`` must accept both.
    """


class Dynamics(NamedTuple):
  """A dynamics model for planning: learned, simulated or analytic.

  Attributes:
    step: one transition of one system, see ``StepFn``.
    slices: ``E``, the number of ensemble members or randomised models.
    params_axes: ``vmap`` ``in_axes`` prefix of the slice axis in ``params``;
      ``None``: all slices share ``params``.
    noise: optional ``(key, shape) -> noise`` that draws the noise of ``step`` for a whole
      batch in one call (leaves ``[*shape, ...]``); ``step`` then gets one sample of it in
      place of a key. ``None``: ``step`` gets keys.
    shuffle: re-assign every plan's particles to slices at random at each step
      (trajectory sampling TS1) instead of once per plan (TSinf).

  Example:
    >>> import jax.numpy as jnp
    >>> def step(params, state, action, key):  # a point mass with a gain
    ...   state = state + params["gain"] * action
    ...   return state, -jnp.sum(state**2), jnp.array(False)
    >>> dynamics = Dynamics(step)
    >>> dynamics.step({"gain": 0.5}, jnp.zeros(1), jnp.ones(1), None)[0].tolist()
    [0.5]
  """

  step: StepFn
  slices: int = 1
  params_axes: Any = None
  noise: Callable[[Key, tuple[int, ...]], Noise] | None = None
  shuffle: bool = False


class Policy(Protocol):
  """Maps states of a ``Dynamics`` to actions."""

  def __call__(self, params: Params, state: State, key: Key) -> Array:
    """Returns an action ``[A]``; ``params`` are those of one slice."""


class EvaluateFn(Protocol):
  """Scores plans; the only function that does."""

  def __call__(self, params: Params, state: State, plans: Array, key: Key) -> Array:
    """Computes returns ``[N]`` of ``plans [N, H, A]`` from ``state``; non-finite is -inf."""


class SampleFn(Protocol):
  """Samples candidate plans from a search (ask)."""

  def __call__(self, state: Any, key: Key, size: int) -> tuple[Array, Any]:
    """Returns plans ``[size, H, A]`` within the bounds, and the state for ``update``.

    ``size`` is static. Most searches return the state unchanged; one that needs its draws
    in ``update`` (velocities of a swarm, noise) stores them in it.
    """


class UpdateFn(Protocol):
  """Updates a search with the returns of its plans (tell)."""

  def __call__(self, state: Any, plans: Array, returns: Array) -> Any:
    """Returns the state updated with ``returns [N]`` of ``plans [N, H, A]``.

    ``state`` is the one that ``sample`` returned with the plans; proposals may follow the
    sampled plans. A return of -inf marks a plan that must not win. A search with
    ``gradients`` gets them as one more argument.
    """


class ShiftFn(Protocol):
  """Shifts a search in time to warm-start the next replan."""

  def __call__(self, state: Any, steps: int) -> Any:
    """Returns the warm start after ``steps`` (static) rows of the plan have passed.

    ``steps=0`` also starts a new replan: less than one knot has passed.
    """


class Search(NamedTuple):
  """A plan optimiser with an ask-and-tell interface; the part in which planners differ.

  With ``knots`` in ``make_planner`` the rows ``H`` below are knots instead of control
  steps; the search is the same.

  Attributes:
    init: ``(low [H, A], high [H, A]) -> state``. Floats that a user would tune are
      arrays in the state, so changing them never recompiles.
    sample: see ``SampleFn``.
    update: see ``UpdateFn``.
    mean: ``(state) -> plan [H, A]``, the plan to execute.
    shift: see ``ShiftFn``.
    sizes: ``(iterations) -> tuple[int, ...]``, plans sampled at each iteration.
    gradients: whether ``update(state, plans, returns, gradients)`` also gets the gradient
      of each return by its plan, ``[N, H, A]``, 0 where it is not finite.
  """

  init: Callable[[Array, Array], Any]
  sample: SampleFn
  update: UpdateFn
  mean: Callable[[Any], Array]
  shift: ShiftFn
  sizes: Callable[[int], tuple[int, ...]]
  gradients: bool = False


class PlanState(NamedTuple):
  """State of a planner between control steps.

  Attributes:
    search: state of the search (distribution and tunable floats).
    plan: the plan being executed, ``[H, A]``.
    value: best return among the candidates when ``plan`` was made, ``[]``.
    age: control steps since ``plan`` was made, ``[]`` int32.
    phase: time elapsed since the first knot, ``[]`` int32; see ``ops.spline``.
    committed: actions chosen but not yet executed, because of latency, ``[L, A]``.
    tolerance: the search has converged when its mean moves by less than this share of the
      action range, ``[]``; unused if ``make_planner`` was given none.
  """

  search: Any
  plan: Array
  value: Array
  age: Array
  phase: Array
  committed: Array
  tolerance: Array


class PlanOutput(NamedTuple):
  """Output of a planner at one control step.

  Attributes:
    action: the action to take now, ``[A]``.
    plan: the whole plan as made, ``[H, A]``; ``action`` is its first row, or a later one
      if ``replan_every`` replays it.
    value: best return among the candidates when ``plan`` was made, ``[]``.
    metrics: counts in this control step: ``nonfinite`` plans without a finite return,
      ``refused`` updates of the search that were not finite, ``iterations`` that changed
      the search.
  """

  action: Array
  plan: Array
  value: Array
  metrics: Metrics


class PlanFn(Protocol):
  """Plans one control step."""

  def __call__(
    self, params: Params, state: State, plan_state: PlanState, key: Key
  ) -> tuple[PlanOutput, PlanState]:
    """Returns the action to take in ``state``, and the planner state for the next step."""


class Proposal(Protocol):
  """Proposes plans that compete with the sampled ones."""

  def __call__(self, params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    """Returns plans ``[M, H, A]``, whose first row is the current action."""


class Planner(NamedTuple):
  """A planner as pure functions.

  Attributes:
    init: ``() -> PlanState`` at the start of an episode.
    plan: see ``PlanFn``; ``jax.jit(planner.plan)`` works as it stands.
    sample: ``(plan_state, key, n) -> plans [n, H, A]``, ``n`` static: candidates that
      the search would sample next, for plotting.
  """

  init: Callable[[], PlanState]
  plan: PlanFn
  sample: Callable[[PlanState, Key, int], Array]
