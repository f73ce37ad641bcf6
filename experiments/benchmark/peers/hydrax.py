"""Replans MuJoCo tasks with hydrax' MPPI (vincekurtz/hydrax) for the benchmark.

Its public classes ``MPPI`` and ``Task`` over our two models and their costs. hydrax is
installed from its sources; the package of that name on PyPI is something else. Run by
``experiments.benchmark --peer=hydrax``, in any Python that has it.
"""

from __future__ import annotations

import inspect
import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import mjcf_tasks, protocol
from experiments.benchmark.peers.mjcf_tasks import TASKS

INSTALL = "python -m experiments.benchmark.peers.install hydrax"


def _controller(task: mjcf_tasks.MjcfTask) -> Any:
  """Builds hydrax' controller for a task."""
  import jax.numpy as jnp
  import mujoco
  from hydrax.algs.mppi import MPPI
  from hydrax.task_base import Task

  class Ours(Task):
    """Our model and cost as hydrax wants them."""

    def running_cost(self, state, control):
      return self.terminal_cost(state) + task.control_cost(jnp, control)

    def terminal_cost(self, state):
      return task.state_cost(jnp, state.qpos, state.qvel)

  model = mujoco.MjModel.from_xml_path(task.mjcf)
  seconds, dt = task.horizon * model.opt.timestep, model.opt.timestep
  # The name of the horizon changed between versions.
  new = "plan_horizon" in inspect.signature(MPPI).parameters
  return MPPI(
    Ours(model),
    num_samples=mjcf_tasks.SAMPLES,
    noise_level=task.noise,
    temperature=task.temperature,
    spline_type="zero",
    num_knots=mjcf_tasks.KNOTS,
    **({"plan_horizon": seconds} if new else {"T": seconds, "dt": dt}),
  )


class Jobs:
  """What this worker holds between requests."""

  def setup_mjx(self, name: str) -> dict:
    """Builds and compiles the controller."""
    import jax

    self.task, self.rounds = TASKS[name], 0
    self.controller = _controller(self.task)
    self.data = self.controller.task.make_data()

    def replan(data, params):
      params, _ = self.controller.optimize(data, params)
      return self.controller.get_action(params, data.time[None]), params

    self.replan = jax.jit(replan)
    start = time.perf_counter()
    self._begin()
    self._replan(*(np.float32(x) for x in self.task.start), 0.0)
    return {"compile_seconds": time.perf_counter() - start}

  def _begin(self) -> None:
    self.rounds += 1
    self.params = self.controller.init_params(seed=self.rounds)

  def _replan(self, qpos: np.ndarray, qvel: np.ndarray, seconds: float) -> np.ndarray:
    data = self.data.replace(qpos=qpos, qvel=qvel, time=np.float32(seconds))
    action, self.params = self.replan(data, self.params)
    return np.asarray(action)

  def episode(self) -> dict:
    """Replans through one episode."""
    self._begin()
    return mjcf_tasks.episode(self.task, self._replan)

  def info(self) -> dict:
    """Tells whether hydrax, and not its namesake, is there at all."""
    try:
      import hydrax.alg_base  # noqa: F401
    except ImportError as error:
      raise ImportError(
        f"{error}. Install hydrax with\n  {INSTALL}\n"
        "and pass --peer_python=peers/hydrax/bin/python to the benchmark."
      ) from error
    return {"name": "hydrax"}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mjx", "episode", "info")})
