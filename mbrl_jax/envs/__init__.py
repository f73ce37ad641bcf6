"""Tasks and their physics, as pure functions."""

from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.envs.adapters import (
  from_brax,
  from_gymnasium,
  from_playground,
  to_brax,
  to_gymnasium,
)
from mbrl_jax.envs.models.env_dynamics import env_dynamics
from mbrl_jax.envs.models.mjcf import load_model, make_mjcf
from mbrl_jax.envs.models.mjx_dynamics import mjx_dynamics
from mbrl_jax.envs.models.randomise import Randomised, randomise
from mbrl_jax.envs.physics.backends import make_physics
from mbrl_jax.envs.physics.base import Physics, PhysicsState
from mbrl_jax.envs.physics.mjx import mjx_state
from mbrl_jax.envs.physics.mjx_models import mjx_model
from mbrl_jax.envs.registry import list_envs, make_env
from mbrl_jax.envs.task import Memory, Task, make_task, never
from mbrl_jax.envs.tasks.analytic.linear_quadratic import (
  LinearQuadratic,
  double_integrator,
  optimal_plan,
  optimal_return,
  riccati,
)

__all__ = [
  "ActionNoise",
  "LinearQuadratic",
  "Memory",
  "Physics",
  "PhysicsState",
  "Randomised",
  "Task",
  "double_integrator",
  "env_dynamics",
  "from_brax",
  "from_gymnasium",
  "from_playground",
  "list_envs",
  "load_model",
  "make_env",
  "make_mjcf",
  "make_physics",
  "make_task",
  "mjx_dynamics",
  "mjx_model",
  "mjx_state",
  "never",
  "optimal_plan",
  "optimal_return",
  "randomise",
  "riccati",
  "to_brax",
  "to_gymnasium",
]
