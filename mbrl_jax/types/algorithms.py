"""Learning systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key, Metrics, Params
from mbrl_jax.types.environments import Transition
from mbrl_jax.types.planning import Dynamics, PlanState


class TrainState(NamedTuple):
  """Everything a run is; saving it is the whole resume.

  Attributes:
    learn: what has been learned and what learning needs: nets, optimisers, buffers.
    carry: what acting needs from step to step in each environment, leaves ``[N, ...]``.
    rollout: where data collection stands, leaves ``[N, ...]``, see ``algorithms.step``.
    key: typed random key.
    steps: environment steps taken in all environments together, ``[]`` int32.
  """

  learn: Any
  carry: Any
  rollout: Any
  key: Key
  steps: Array


class ActFn(Protocol):
  """The acting half of an algorithm; all that a robot runs."""

  def __call__(
    self, params: Params, carry: Any, obs: Array, key: Key
  ) -> tuple[Array, Any, Metrics]:
    """Returns ``(action [A], carry, info)`` for ``obs [O]``; ``info`` holds arrays."""


class ObserveFn(Protocol):
  """Takes in experience."""

  def __call__(self, state: TrainState, transitions: Transition) -> TrainState:
    """Returns the state with the next transition of every environment stored.

    Leaves are ``[N, ...]``. In ``state`` the carry is already that after the actions, and the
    steps are counted. It takes no gradient step and runs no net, so that it fits between two
    control steps of a robot.
    """


class LearnFn(Protocol):
  """Learns from what was observed."""

  def __call__(self, state: TrainState, steps: int) -> TrainState:
    """Takes the gradient steps that ``steps`` (static) new environment steps are worth.

    It may be called after each step of the environments, or once for many.
    """


class Budget(NamedTuple):
  """How long a run is and how it is cut; all counts are of all environments together.

  Attributes:
    counts: fields of the config that count steps or episodes, with their values; the number of
      environments must divide each.
    length: the one of them that says how long the run is, and may grow when it is resumed.
    steps: environment steps of the run; 0: it is counted in episodes.
    episodes: of the run, where it is counted in them; those that end in its last step, each
      in another environment, all count, so that there may be up to N - 1 more.
    chunk: environment steps between two calls of ``update``; 0: any number, because
      ``update`` only acts after the end of an episode.
  """

  counts: Mapping[str, int]
  length: str
  steps: int = 0
  episodes: int = 0
  chunk: int = 0

  @property
  def unit(self) -> str:
    """What progress is counted in, "steps" or "episodes"."""
    return "episodes" if self.episodes else "steps"


class Diagnostics(NamedTuple):
  """What an algorithm believes, for those who ask whether it is right.

  Attributes:
    dynamics: learned, over observations; ``None``: there is no model.
    params: ``(TrainState) -> params`` of the dynamics.
    q: ``(TrainState, obs [O], action [A]) -> []``, the discounted return that the critic
      expects; ``None``: there is no critic.
    discount: of that return.
    planned: ``(carry) -> PlanState`` after an action; ``None``: it does not plan.
  """

  dynamics: Dynamics | None = None
  params: Callable[[TrainState], Params] | None = None
  q: Callable[[TrainState, Array, Array], Array] | None = None
  discount: float = 1.0
  planned: Callable[[Any], PlanState] | None = None


class Preload(NamedTuple):
  """What a run learns from before its first step.

  Attributes:
    path: file of transitions, see ``runtime.dataset``.
    fill: ``(TrainState, transitions [n, ...]) -> TrainState``.
  """

  path: str
  fill: Callable[[TrainState, Transition], TrainState]


def _no_learning(state: TrainState, steps: int) -> TrainState:
  del steps
  return state


class Algorithm(NamedTuple):
  """A learning system as pure functions.

  Attributes:
    init: ``(key, envs=1) -> TrainState`` with ``rollout=None`` and the carry of ``envs``
      environments.
    params: ``(TrainState) -> params``, what acting needs: one copy for all environments; it
      is what goes to a robot.
    act: see ``ActFn``.
    reset: ``(params, carry) -> carry`` of one environment, at the beginning of an episode.
    observe: see ``ObserveFn``.
    update: ``(state) -> (state, metrics)``, once a chunk: fits models, iterates an on-policy
      system, reports; metrics hold ``ran``, 1.0 if anything was learned.
    budget: see ``Budget``.
    learn: see ``LearnFn``.
    deploy: ``(params) -> (params, carry)``, with which an evaluation or a robot begins:
      without exploration.
    plans: whether an action takes a plan, which fills the machine by itself; without one,
      evaluation episodes run side by side.
    diagnostics: see ``Diagnostics``.
    idle: ``(TrainState) -> [] bool``, whether the environments are to stand still until the
      next ``update``; ``None``: never.
    preload: see ``Preload``; ``None``: nothing.
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
