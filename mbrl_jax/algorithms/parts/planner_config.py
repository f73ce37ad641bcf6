"""The model-predictive controller of PETS, from configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mbrl_jax.ops.validate import choice, positive, prefixed
from mbrl_jax.planners import SEARCHES, make_evaluate, make_planner
from mbrl_jax.planners.search_arguments import Setting, check, complete, settings_of
from mbrl_jax.types import Dynamics, EnvSpec, Planner, Search

SAMPLES = 400
"""Plans per iteration of every search; the value of PETS on cart-pole."""
DEFAULTS: dict[str, dict[str, Any]] = {
  "icem": {"elites": 40},
  "mirror_descent": {"step_size": 0.7},
  "mppi": {"ess_fraction": 0.05},
}
"""Further defaults that differ from the factories' own, by search."""


@dataclass(frozen=True)
class PlannerConfig:
  """The model-predictive controller.

  Attributes:
    name: search: adam, categorical, cem, dial, icem, mirror_descent, mppi, pddm,
      predictive_sampling or random_shooting. Each has its own settings.
    iterations: iterations per replan; random shooting draws samples times iterations.
    horizon: control steps of a plan.
    particles: rollouts of each plan, a multiple of the members under TS.
    replan_every: control steps executed of each plan.
    settings: arguments of the search's factory, by name; defaults are those of ``SAMPLES``,
      ``DEFAULTS``, then the factory's.
  """

  name: str = "cem"
  iterations: int = 5
  horizon: int = 25
  particles: int = 20
  replan_every: int = 1
  settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

  def options(self) -> dict[str, Setting]:
    """Returns all settings of the search, with their values here as defaults."""
    known = _settings_of(self.name)
    values = complete(known, self.settings, {"samples": SAMPLES, **DEFAULTS.get(self.name, {})})
    return {name: known[name]._replace(default=value) for name, value in values.items()}

  def select(self, name: str) -> PlannerConfig:
    """Returns the config with another search, keeping the settings that both have."""
    known = _settings_of(name)
    shared = {key: value for key, value in self.settings.items() if key in known}
    return dataclasses.replace(self, name=name, settings=shared)


@prefixed("planner")
def make_mpc(
  spec: EnvSpec, dynamics: Dynamics, particles: int, config: PlannerConfig
) -> Planner:
  """Makes the planner of a task from its configuration.

  Raises:
    ValueError: an unknown search, a setting that it does not have, or sizes that do not fit
      each other.
  """
  options = config.options()
  check(config.name, options, config.settings)
  positive(particles=config.particles)  # unused without a propagation of particles
  return make_planner(
    _factory(config.name)(**{name: option.default for name, option in options.items()}),
    make_evaluate(dynamics, particles=particles),
    horizon=config.horizon,
    action_low=spec.action_low,
    action_high=spec.action_high,
    iterations=config.iterations,
    replan_every=config.replan_every,
  )


def _settings_of(name: str) -> dict[str, Setting]:
  """Returns the settings of a search by name.

  Raises:
    ValueError: an unknown search.
  """
  return settings_of(_factory(choice("planner.name", name, SEARCHES)))


def _factory(name: str) -> Callable[..., Search]:
  """Returns the factory of a search."""
  searches: Mapping[str, Any] = SEARCHES
  return searches[name]
