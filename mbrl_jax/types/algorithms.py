"""Learning systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key, Metrics, Params
from mbrl_jax.types.environments import Transition
from mbrl_jax.types.planning import Dynamics, PlanState


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
    planned: ``(act) -> PlanState`` after an action; ``None``: it does not plan.
  """

  dynamics: Dynamics | None = None
  params: Callable[[TrainState], Params] | None = None
  q: Callable[[TrainState, Array, Array], Array] | None = None
  discount: float = 1.0
  planned: Callable[[Any], PlanState] | None = None


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
    idle: ``(state) -> [] bool``, whether the environment is to stand still: until the next
      ``update``, or for good because the run is over; ``None``: never.
  """

  init: Callable[[Key], TrainState]
  reset: Callable[[Any], Any]
  act: ActFn
  observe: ObserveFn
  update: LearnFn
  deploy: Callable[[Any], Any] = lambda act: act
  plans: bool = True
  insight: Insight = Insight()
  idle: Callable[[TrainState], Array] | None = None
