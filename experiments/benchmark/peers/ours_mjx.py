"""Replans MuJoCo tasks with mbrl_jax's MPPI for the benchmark.

Plans are rolled out on MJX, on MuJoCo's C engine or, for the pendulum, on its equation.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import mjcf_tasks, protocol
from experiments.benchmark.peers.mjcf_tasks import TASKS, MjcfTask


def physics_step(task: MjcfTask, engine: str) -> Any:
  """Returns ``(params, PhysicsState, ctrl) -> PhysicsState``, the params and an initial state.

  Raises:
    ValueError: ``engine`` is ``"analytic"`` and the task is not the pendulum.
  """
  import mujoco

  from mbrl_jax.envs.physics.backends import make_physics
  from mbrl_jax.envs.physics.base import PhysicsState
  from mbrl_jax.envs.physics.mjx import advance, mjx_state
  from mbrl_jax.envs.physics.mjx_models import mjx_model

  model = mujoco.MjModel.from_xml_path(task.mjcf)
  qpos, qvel = (np.float32(x) for x in task.start)
  if engine == "mjx":
    start = mjx_state(model, qpos, qvel)
    return lambda params, s, ctrl: advance(params, s, ctrl, 1), mjx_model(model), start
  if engine == "mujoco":
    physics = make_physics(model, 1, "mujoco")
    return lambda params, s, ctrl: physics.step(s, ctrl), None, physics.init(qpos, qvel)
  if task.name != "pendulum":
    raise ValueError(f"engine={engine!r}: only the pendulum has an equation.")
  return _pendulum_step, _pendulum_params(model), PhysicsState(qpos, qvel)


def _pendulum_params(model: Any) -> dict[str, float]:
  """Returns the coefficients of the pendulum's equation, read from its model."""
  mass, length = float(model.body_mass[1]), float(-model.body_ipos[1, 2])
  inertia = float(model.body_inertia[1, 1]) + mass * length**2
  damping, gravity = float(model.dof_damping[0]), float(-model.opt.gravity[2])
  dt = float(model.opt.timestep)
  return {
    "gravity_torque": mass * gravity * length,
    "inertia": inertia,
    "damping": damping,
    "dt": dt,
  }


def _pendulum_step(params: dict[str, float], state: Any, ctrl: Any) -> Any:
  """Steps the pendulum like MuJoCo's Euler integrator: implicit damping, position last."""
  import jax.numpy as jnp

  torque = jnp.clip(ctrl, -1.0, 1.0) - params["gravity_torque"] * jnp.sin(state.qpos)
  torque = torque - params["damping"] * state.qvel
  dt = params["dt"]
  speed = state.qvel + dt * torque / (params["inertia"] + dt * params["damping"])
  return state._replace(qpos=state.qpos + dt * speed, qvel=speed)


def make_dynamics(task: MjcfTask, engine: str) -> tuple[Any, Any, Any]:
  """Returns the dynamics with the task's cost, their params and an initial state."""
  import jax.numpy as jnp
  import mujoco

  import mbrl_jax

  step, params, start = physics_step(task, engine)
  dt = mujoco.MjModel.from_xml_path(task.mjcf).opt.timestep

  def advance(params: Any, state: Any, ctrl: Any, key: Any) -> tuple[Any, Any, Any]:
    del key
    cost = task.state_cost(jnp, state.qpos, state.qvel) + task.control_cost(jnp, ctrl)
    return step(params, state, ctrl), -dt * cost, jnp.zeros((), bool)

  # The dynamics are deterministic, so rows need no keys.
  return mbrl_jax.Dynamics(advance, noise=lambda key, shape: ()), params, start


class Jobs:
  """Replans one task; keeps the planner and its state between requests."""

  def setup_mjx(self, name: str, engine: str) -> dict:
    """Makes and compiles the planner."""
    import jax
    import jax.numpy as jnp

    import mbrl_jax
    from mbrl_jax.runtime.devices.compilation import compiler_options

    self.task = task = TASKS[name]
    dynamics, self.params, self.state = make_dynamics(task, engine)

    def terminal(params: Any, state: Any, key: Any) -> Any:
      return -task.state_cost(jnp, state.qpos, state.qvel)

    high = np.ones(len(task.start[0]), np.float32)  # one motor per joint
    self.planner = mbrl_jax.make_planner(
      mbrl_jax.mppi(mjcf_tasks.SAMPLES, temperature=task.temperature, noise_scale=task.noise),
      mbrl_jax.make_evaluate(dynamics, terminal=terminal),
      horizon=task.horizon,
      action_low=-high,
      action_high=high,
      knots=mjcf_tasks.KNOTS,
      interpolation="zero",
    )

    def replan(params: Any, state: Any, plan_state: Any, key: Any) -> tuple[Any, Any, Any]:
      key, plan_key = jax.random.split(key)
      out, plan_state = self.planner.plan(params, state, plan_state, plan_key)
      return out.action, plan_state, key

    self.replan, self.episodes = jax.jit(replan, compiler_options=compiler_options()), 0
    start = time.perf_counter()
    self._reset()
    self._replan(*(np.float32(x) for x in task.start), 0.0)
    return {"compile_seconds": time.perf_counter() - start}

  def _reset(self) -> None:
    """Resets the plan, with another key for each episode."""
    import jax

    self.episodes += 1
    self.plan_state, self.key = self.planner.init(), jax.random.key(self.episodes)

  def _replan(self, qpos: np.ndarray, qvel: np.ndarray, seconds: float) -> np.ndarray:
    """Returns the control ``[A]`` at one state."""
    del seconds
    state = self.state._replace(qpos=qpos, qvel=qvel)
    answer = self.replan(self.params, state, self.plan_state, self.key)
    action, self.plan_state, self.key = answer
    return np.asarray(action)

  def episode(self) -> dict:
    """Runs one episode, replanning at every step."""
    self._reset()
    return mjcf_tasks.episode(self.task, self._replan)


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mjx", "episode")})
