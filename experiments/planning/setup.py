"""Builds a planner over the exact model of a task from what the command line says."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments import configuration
from mbrl_jax.envs import ActionNoise, env_dynamics
from mbrl_jax.ops.validate import choice
from mbrl_jax.planners import SEARCHES, evosax, make_evaluate, make_planner
from mbrl_jax.types import Env, EnvState, Planner, Search

PLANNERS = SEARCHES | {"evosax": evosax}
"""What ``--planner`` may name."""
SECONDS = 1.25
"""Simulated seconds that a plan covers by default."""
SHORTEST, LONGEST = 10, 50
"""Bounds of the default horizon, control steps."""


class Setup(NamedTuple):
  """A task and a planner for it.

  Attributes:
    env: the task that is acted in.
    model: the task that is planned over.
    translate: ``(EnvState of env) -> EnvState of model``.
    planner: the planner.
    config: the keywords of the search's factory, a dataclass.
    settings: all of it as plain data.
  """

  env: Env
  model: Env
  translate: Callable[[EnvState], EnvState]
  planner: Planner
  config: Any
  settings: dict[str, Any]


def make_setup(
  env: Env,
  model: Env,
  *,
  planner: str = "cem",
  keywords: dict[str, Any] | None = None,
  horizon: int | None = None,
  **loop: Any,
) -> Setup:
  """Puts a search, a planning loop and the exact model together.

  Args:
    env: the task that is acted in.
    model: the task that is planned over, perhaps ``env`` itself.
    planner: one of ``PLANNERS``.
    keywords: of the search's factory; texts are parsed by type.
    horizon: control steps; ``None`` covers ``SECONDS``, within bounds.
    **loop: the other keywords of ``make_planner``.

  Raises:
    ValueError: names what does not fit, and the nearest that there is.
  """
  config = make_config(planner, keywords or {})
  if horizon is None:
    horizon = min(max(round(SECONDS / env.spec.dt), SHORTEST), LONGEST)
  spec = env.spec
  built = make_planner(
    make_search(planner, config),
    make_evaluate(env_dynamics(model)),
    horizon=horizon,
    action_low=spec.action_low,
    action_high=spec.action_high,
    **loop,
  )
  settings = {
    "env": spec.name,
    "dt": spec.dt,
    "planner": planner,
    "keywords": configuration.to_dict(config),
    "horizon": horizon,
    **loop,
  }
  return Setup(env, model, translator(env, model), built, config, settings)


def make_config(planner: str, keywords: dict[str, Any]) -> Any:
  """Returns the keywords of a search's factory as a dataclass, defaults filled in.

  A number of elites keeps its share where only the number of samples is given.

  Raises:
    ValueError: an unknown planner or keyword, or a value of another type.
  """
  factory = PLANNERS[choice("--planner", planner, sorted(PLANNERS))]
  hints, members = typing.get_type_hints(factory), []
  for parameter in inspect.signature(factory).parameters.values():
    if parameter.kind is parameter.VAR_KEYWORD:
      continue
    kind, default = hints.get(parameter.name, str), parameter.default
    if default is parameter.empty:
      kind, default = kind | None, None
    members.append((parameter.name, kind, dataclasses.field(default=default)))
  kind = dataclasses.make_dataclass(planner, members, frozen=True)
  kind.__doc__ = (inspect.getdoc(factory) or "").replace("Args:", "Attributes:")
  config = kind()
  chosen = configuration.override(config, keywords)
  if "elites" in hints and "elites" not in keywords and config.elites:
    share = config.elites / config.samples
    chosen = dataclasses.replace(chosen, elites=max(1, round(share * chosen.samples)))
  return chosen


def make_search(planner: str, config: Any) -> Search:
  """Makes a search from its factory's keywords.

  Raises:
    ValueError: a value that the factory refuses.
  """
  return PLANNERS[planner](
    **{f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
  )


def describe(planner: str, keywords: dict[str, Any]) -> str:
  """Writes every keyword of a search with its value and meaning, for ``--help``."""
  text = configuration.describe(make_config(planner, keywords))
  return text.replace("--config.", "--set ")


def translator(env: Env, model: Env) -> Callable[[EnvState], EnvState]:
  """Returns ``(EnvState of env) -> EnvState of model``, two tasks that differ in physics.

  Raises:
    ValueError: they differ, and the model has no physics to begin in that state.
  """
  if model is undisturbed(env):
    return lambda state: state
  if not hasattr(model, "physics"):
    raise ValueError(f"--model_physics: {model.spec.name} has only the physics that it has.")

  def translate(state: EnvState) -> EnvState:
    now = state.physics
    activations = (now.data.act,) if hasattr(now.data, "act") else ()
    chosen = {} if isinstance(now.variant, tuple) else {"variant": now.variant}
    physics = model.physics.init(now.qpos, now.qvel, *activations, **chosen)
    return EnvState(physics._replace(memory=now.memory), state.obs, state.steps)

  return translate


def undisturbed(env: Env) -> Env:
  """Returns the task without noise on its actions: what is planned over."""
  return env.env if isinstance(env, ActionNoise) else env


def parse_cost(text: str) -> dict[str, Any]:
  """Reads ``sensor:weight`` or ``sensor:weight:target``, separated by commas.

  A target of several numbers is written ``0/0/1``.

  Raises:
    ValueError: quotes the part that is neither.
  """
  cost: dict[str, Any] = {}
  for part in filter(None, (part.strip() for part in text.split(","))):
    name, _, numbers = part.partition(":")
    weight, _, target = numbers.partition(":")
    try:
      cost[name] = float(weight)
      if target:
        goal = [float(number) for number in target.split("/")]
        cost[name] = float(weight), goal[0] if len(goal) == 1 else tuple(goal)
    except ValueError as error:
      raise ValueError(
        f"--cost: {part!r} is not sensor:weight or sensor:weight:target, as in hinge:1:3.14."
      ) from error
  return cost
