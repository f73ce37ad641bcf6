"""Builds a planner over the exact model of a task from settings of the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.command_line import config_flags
from experiments.command_line.renamed import new_name
from mbrl_jax.envs import ActionNoise, env_dynamics
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError, choice
from mbrl_jax.planners import SEARCHES, evosax, make_evaluate, make_planner
from mbrl_jax.planners.search_arguments import complete, settings_of, unknown
from mbrl_jax.types import Env, EnvState, Planner, Search

PLANNERS = SEARCHES | {"evosax": evosax}
"""Search factories by the value of ``--planner``."""
SECONDS = 1.25
"""Default length of a plan in simulated seconds."""
SHORTEST, LONGEST = 10, 50
"""Bounds of the default horizon in control steps."""


class Setup(NamedTuple):
  """A task and a planner for it.

  Attributes:
    env: the plant.
    model: the planner's model, a task.
    translate: ``(EnvState of env) -> EnvState of model``.
    planner: the planner.
    settings: the settings as plain data.
  """

  env: Env
  model: Env
  translate: Callable[[EnvState], EnvState]
  planner: Planner
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
  """Combines a search, the planning loop and the exact model.

  Args:
    env: the plant.
    model: the planner's model, which may be ``env`` itself.
    planner: one of ``PLANNERS``.
    keywords: of the search's factory; strings are parsed by type.
    horizon: control steps; ``None``: ``SECONDS``, within ``SHORTEST`` and ``LONGEST``.
    **loop: the other keywords of ``make_planner``.

  Raises:
    ValueError: an unknown name or an invalid value; suggests the nearest valid name.
  """
  keywords = make_keywords(planner, keywords or {})
  if horizon is None:
    horizon = min(max(round(SECONDS / env.spec.dt), SHORTEST), LONGEST)
  spec = env.spec
  built = make_planner(
    PLANNERS[planner](**keywords),
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
    "keywords": keywords,
    "horizon": horizon,
    **loop,
  }
  return Setup(env, model, translator(env, model), built, settings)


def make_keywords(planner: str, given: dict[str, Any], flag: str = "--set ") -> dict[str, Any]:
  """Returns all keywords of a search's factory; missing ones have their defaults.

  If only the number of samples is given, the number of elites keeps its default share.

  Args:
    planner: one of ``PLANNERS``.
    given: values by name; strings are parsed by type.
    flag: prefix of a name on the command line.

  Raises:
    ValueError: an unknown planner or keyword, or a value of another type.
  """
  known = settings_of(PLANNERS[choice("--planner", planner, sorted(PLANNERS))])
  typed, defaults = {}, {}
  for name, value in given.items():
    if name not in known:
      renamed = (new_name(f"planner.{name}") or "").removeprefix("planner.")
      if renamed in known:
        raise ArgumentError(flag + name, NO_VALUE, f"was renamed to {renamed} in version 0.2.")
      raise unknown(flag + name, name, planner, known)
    typed[name] = config_flags.parse(flag + name, value, known[name].type)
  if "elites" in known and "samples" in typed:
    share = known["elites"].default / known["samples"].default
    defaults["elites"] = max(1, round(share * typed["samples"]))
  return complete(known, typed, defaults)


def make_search(planner: str, given: dict[str, Any], flag: str = "--set ") -> Search:
  """Makes a search from keywords of its factory, see ``make_keywords``.

  Raises:
    ValueError: a value that the factory refuses.
  """
  return PLANNERS[planner](**make_keywords(planner, given, flag))


def describe(planner: str, given: dict[str, Any]) -> str:
  """Describes every keyword of a search with its value, for ``--help``."""
  known, values = settings_of(PLANNERS[planner]), make_keywords(planner, given)
  leaves = {name: known[name]._replace(default=value) for name, value in values.items()}
  return config_flags.describe(leaves, "--set ")


def translator(env: Env, model: Env) -> Callable[[EnvState], EnvState]:
  """Returns ``(EnvState of env) -> EnvState of model`` for tasks that differ in their physics.

  Raises:
    ValueError: they differ and the model has no other physics.
  """
  if model is undisturbed(env):
    return lambda state: state
  if not hasattr(model, "physics"):
    raise ValueError(f"--model_physics: {model.spec.name} has only one simulator.")

  def translate(state: EnvState) -> EnvState:
    now = state.physics
    activations = (now.data.act,) if hasattr(now.data, "act") else ()
    chosen = {} if isinstance(now.variant, tuple) else {"variant": now.variant}
    physics = model.physics.init(now.qpos, now.qvel, *activations, **chosen)
    return EnvState(physics._replace(memory=now.memory), state.obs, state.steps)

  return translate


def undisturbed(env: Env) -> Env:
  """Returns the task without action noise, for the planner's model."""
  return env.env if isinstance(env, ActionNoise) else env


def parse_cost(text: str) -> dict[str, Any]:
  """Parses comma-separated terms ``sensor:weight`` or ``sensor:weight:target``.

  A vector target is written ``0/0/1``.

  Raises:
    ValueError: a term has another form; the message quotes it.
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
        f"--cost: {part!r} must have the form sensor:weight or sensor:weight:target, such as "
        "hinge:1:3.14."
      ) from error
  return cost
