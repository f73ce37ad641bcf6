"""Replans MuJoCo tasks with hydrax' MPPI (vincekurtz/hydrax) for the benchmark.

Uses its public classes ``MPPI`` and ``Task`` with the models and costs of ``mjcf_tasks``.
hydrax is installed from source; the PyPI package of that name is unrelated. Run by
``experiments.benchmark --peer=hydrax``, in a Python in which hydrax is installed.
"""

from __future__ import annotations

import inspect
import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import mjcf_tasks, protocol, versions
from experiments.benchmark.peers.mjcf_tasks import TASKS

VENV = "hydrax"
"""Virtual environment of ``peers.install``."""


def _controller(task: mjcf_tasks.MjcfTask) -> Any:
  """Makes hydrax' controller for a task."""
  import jax.numpy as jnp
  import mujoco
  from hydrax.algs.mppi import MPPI
  from hydrax.task_base import Task

  class CostTask(Task):
    """The task's model and cost in hydrax' interface."""

    def running_cost(self, state: Any, control: Any) -> Any:
      return self.terminal_cost(state) + task.control_cost(jnp, control)

    def terminal_cost(self, state: Any) -> Any:
      return task.state_cost(jnp, state.qpos, state.qvel)

  model = mujoco.MjModel.from_xml_path(task.mjcf)
  seconds, dt = task.horizon * model.opt.timestep, model.opt.timestep
  # hydrax renamed the horizon from T to plan_horizon.
  new = "plan_horizon" in inspect.signature(MPPI).parameters
  return MPPI(
    CostTask(model),
    num_samples=mjcf_tasks.SAMPLES,
    noise_level=task.noise,
    temperature=task.temperature,
    spline_type="zero",
    num_knots=mjcf_tasks.KNOTS,
    **({"plan_horizon": seconds} if new else {"T": seconds, "dt": dt}),
  )


class Jobs:
  """Replans one task; keeps the controller and its parameters between requests."""

  def setup_mjx(self, name: str) -> dict:
    """Makes and compiles the controller."""
    import jax

    self.task, self.episodes = TASKS[name], 0
    self.controller = _controller(self.task)
    self.data = self.controller.task.make_data()

    def replan(data: Any, params: Any) -> tuple[Any, Any]:
      params, _ = self.controller.optimize(data, params)
      return self.controller.get_action(params, data.time[None]), params

    self.replan = jax.jit(replan)
    start = time.perf_counter()
    self._reset()
    self._replan(*(np.float32(x) for x in self.task.start), 0.0)
    return {"compile_seconds": time.perf_counter() - start}

  def _reset(self) -> None:
    """Resets the plan, with another seed for each episode."""
    self.episodes += 1
    self.params = self.controller.init_params(seed=self.episodes)

  def _replan(self, qpos: np.ndarray, qvel: np.ndarray, seconds: float) -> np.ndarray:
    """Returns the control ``[A]`` at one state."""
    data = self.data.replace(qpos=qpos, qvel=qvel, time=np.float32(seconds))
    action, self.params = self.replan(data, self.params)
    return np.asarray(action)

  def episode(self) -> dict:
    """Runs one episode, replanning at every step."""
    self._reset()
    return mjcf_tasks.episode(self.task, self._replan)

  def info(self) -> dict:
    """Checks that hydrax, not the PyPI package of that name, can be imported."""
    try:
      import hydrax.alg_base  # noqa: F401
    except ImportError as error:
      raise versions.not_installed("hydrax", VENV, error) from error
    return {"name": "hydrax"}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mjx", "episode", "info")})
