"""Model-based reinforcement learning and sampling-based MPC in JAX.

A planner is a pure function over any dynamics: the same compiled planner runs on
a learned ensemble, on a simulator and on an analytic model. The public API is
importable from here; modules are loaded lazily, so ``import mbrl_jax`` itself is
instant and has no side effects.

Example:
  >>> from mbrl_jax import cem, env_dynamics, make_env, make_evaluate, make_planner
  >>> env = make_env("pendulum")
  >>> planner = make_planner(
  ...   cem(samples=16, elites=4),
  ...   make_evaluate(env_dynamics(env)),
  ...   horizon=5,
  ...   action_low=env.spec.action_low,
  ...   action_high=env.spec.action_high,
  ... )
"""

import importlib
from typing import Any

__version__ = "0.2.0"

_EXPORTS = {
  "mbrl_jax.types": (
    "Algorithm",
    "Dynamics",
    "Env",
    "EnvSpec",
    "EnvState",
    "PlanOutput",
    "PlanState",
    "Planner",
    "Search",
    "Success",
    "TrainState",
    "Transition",
  ),
  "mbrl_jax.models": ("as_dynamics", "fit", "init_optimizer", "make_ensemble", "make_gp"),
  "mbrl_jax.planners": (
    "adam",
    "categorical",
    "cem",
    "dial",
    "evosax",
    "icem",
    "make_evaluate",
    "make_planner",
    "make_predict",
    "mirror_descent",
    "mppi",
    "pddm",
    "policy_plans",
    "predictive_sampling",
    "previous_plan",
    "random_shooting",
  ),
  "mbrl_jax.envs": (
    "Memory",
    "env_dynamics",
    "from_brax",
    "from_gymnasium",
    "from_playground",
    "list_envs",
    "load_model",
    "make_env",
    "make_mjcf",
    "make_task",
    "mjx_dynamics",
    "mjx_model",
    "mjx_state",
    "never",
    "randomise",
    "to_brax",
    "to_gymnasium",
  ),
  "mbrl_jax.algorithms": (
    "default_config",
    "init_state",
    "list_algorithms",
    "make_algorithm",
    "make_evaluation",
    "make_step",
  ),
  "mbrl_jax.runtime.checks": ("check_env",),
  "mbrl_jax.runtime.devices.mesh": (
    "make_mesh",
    "over_seeds",
    "replicated",
    "row_sharding",
    "shard_seeds",
  ),
  "mbrl_jax.runtime.task_file": ("load_task",),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
  """Imports a public name from its module on first use."""
  if name not in _HOME:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  value = getattr(importlib.import_module(_HOME[name]), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  """Includes the public names, for tab completion."""
  return sorted({*globals(), *__all__})
