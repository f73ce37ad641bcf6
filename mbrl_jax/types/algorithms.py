"""Learning algorithms and their training state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key, Metrics, Params
from mbrl_jax.types.environments import Transition
from mbrl_jax.types.planning import Dynamics, PlanState


class TrainState(NamedTuple):
  """Complete state of a training run; saving it is enough to resume.

  Attributes:
    learn: learner state: nets, optimisers, buffers.
    carry: recurrent state of acting in each environment, leaves ``[N, ...]``.
    rollout: state of data collection, leaves ``[N, ...]``, see ``algorithms.step``.
    key: typed random key.
    steps: environment steps taken, summed over all environments, ``[]`` int32.
  """

  learn: Any
  carry: Any
  rollout: Any
  key: Key
  steps: Array


class ActFn(Protocol):
  """Chooses actions; the only part of an algorithm that a robot runs."""

  def __call__(
    self, params: Params, carry: Any, obs: Array, key: Key
  ) -> tuple[Array, Any, Metrics]:
    """Returns ``(action [A], carry, info)`` for ``obs [O]``; ``info`` holds arrays."""


class ObserveFn(Protocol):
  """Stores transitions."""

  def __call__(self, state: TrainState, transitions: Transition) -> TrainState:
    """Returns the state with the next transition of every environment stored.

    Leaves are ``[N, ...]``. In ``state`` carry and step count are already those after the
    actions. It takes no gradient step and runs no net, so that it fits between two control
    steps of a robot.
    """


class LearnFn(Protocol):
  """Updates the learner from stored transitions."""

  def __call__(self, state: TrainState, steps: int) -> TrainState:
    """Takes the gradient steps due for ``steps`` (static) new environment steps.

    It may be called after each step of the environments, or once for many.
    """


class Budget(NamedTuple):
  """Length of a run and of its chunks; counts are sums over all environments.

  Attributes:
    counts: config fields that count steps or episodes, with their values; the number of
      environments must divide each.
    length: name of the field that sets the length of the run and may grow on resume.
    steps: environment steps of the run; 0: the run is counted in episodes.
    episodes: episodes of the run; 0: the run is counted in steps. Episodes that end in the
      last step, each in another environment, all count, so there may be up to N - 1 more.
    chunk: environment steps between two calls of ``update``; 0: any number, because
      ``update`` only acts when due, and ``Algorithm.idle`` lets the environments wait for it.
  """

  counts: Mapping[str, int]
  length: str
  steps: int = 0
  episodes: int = 0
  chunk: int = 0

  @property
  def unit(self) -> str:
    """Unit of progress, "steps" or "episodes"."""
    return "episodes" if self.episodes else "steps"


class Diagnostics(NamedTuple):
  """Optional diagnostics: the learned model, critic and plan.

  Attributes:
    dynamics: learned dynamics over observations; ``None``: no model.
    params: ``(TrainState) -> params`` of the dynamics.
    q: ``(TrainState, obs [O], action [A]) -> []``, the discounted return predicted by the
      critic; ``None``: no critic.
    discount: discount of that return.
    planned: ``(carry) -> PlanState`` after an action; ``None``: no planner.
    action_repeat: control steps of a step of the dynamics, for which an action is held.
  """

  dynamics: Dynamics | None = None
  params: Callable[[TrainState], Params] | None = None
  q: Callable[[TrainState, Array, Array], Array] | None = None
  discount: float = 1.0
  planned: Callable[[Any], PlanState] | None = None
  action_repeat: int = 1


class Preload(NamedTuple):
  """Offline data that a run loads before its first step.

  Attributes:
    path: file of transitions, see ``runtime.storage.dataset``.
    fill: ``(TrainState, transitions [n, ...]) -> TrainState``.
  """

  path: str
  fill: Callable[[TrainState, Transition], TrainState]


def _no_learning(state: TrainState, steps: int) -> TrainState:
  del steps
  return state


class Algorithm(NamedTuple):
  """A learning algorithm as pure functions.

  Attributes:
    init: ``(key, envs=1) -> TrainState`` with ``rollout=None`` and the carry of ``envs``
      environments.
    params: ``(TrainState) -> params`` for ``act``: one copy for all environments, and the
      parameters to deploy on a robot.
    act: see ``ActFn``.
    reset: ``(params, carry) -> carry`` of one environment, at the start of an episode.
    observe: see ``ObserveFn``.
    update: ``(state) -> (state, metrics)``, once per chunk: fits models, updates an
      on-policy algorithm, reports metrics, among them ``ran``, 1.0 if anything was learned.
    budget: see ``Budget``.
    learn: see ``LearnFn``.
    deploy: ``(params) -> (params, carry)``, initial values for an evaluation or a robot,
      without exploration.
    plans: whether ``act`` plans, which uses the whole device; otherwise evaluation episodes
      run in parallel.
    diagnostics: see ``Diagnostics``.
    idle: ``(TrainState) -> [] bool``, whether the environments pause until the next
      ``update``; ``None``: never.
    preload: see ``Preload``; ``None``: no offline data.
    warm_start: ``(TrainState, params) -> TrainState``, the initial state with what is taken of
      another run, given that run's ``params``; ``ValueError`` if they do not fit. ``None``:
      nothing can be taken. Usually it is the policy of an algorithm that acts by the same kind
      of parameters, see ``algorithms.parts.policy_warm_start``; ``dagger`` takes the model of
      a planner, and imitates it.
    requires: why a run cannot begin without ``warm_start``, as the predicate of a sentence
      about the algorithm; ``""``: it can.
  """

  init: Callable[..., TrainState]
  params: Callable[[TrainState], Params]
  act: ActFn
  reset: Callable[[Params, Any], Any]
  observe: ObserveFn
  update: Callable[[TrainState], tuple[TrainState, Metrics]]
  budget: Budget
  deploy: Callable[[Params], tuple[Params, Any]]
  learn: LearnFn = _no_learning
  plans: bool = True
  diagnostics: Diagnostics = Diagnostics()
  idle: Callable[[TrainState], Array] | None = None
  preload: Preload | None = None
  warm_start: Callable[[TrainState, Params], TrainState] | None = None
  requires: str = ""
