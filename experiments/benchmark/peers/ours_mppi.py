"""Controls the pendulum with mbrl_jax's MPPI for the benchmark."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol, swingup


def _step(params: Any, state: Any, action: Any, key: Any) -> tuple[Any, Any, Any]:
  """Steps the pendulum by the environment's equations; the state holds two scalars."""
  import jax.numpy as jnp

  from mbrl_jax.envs.tasks.analytic import pendulum

  del params, key
  state = pendulum.step(state, action[0])
  wrapped = state.qpos - 2 * math.pi * jnp.round(state.qpos / (2 * math.pi))
  reward = -(wrapped**2 + 0.1 * state.qvel**2)
  return state, reward, jnp.zeros((), bool)


class Jobs:
  """Controls the pendulum; keeps the planner and its state between requests."""

  def setup_mppi(self, samples: int, horizon: int) -> dict:
    """Makes and compiles the planner."""
    import jax

    import mbrl_jax
    from mbrl_jax.envs.physics.base import PhysicsState
    from mbrl_jax.runtime.devices.compilation import compiler_options

    planner = mbrl_jax.make_planner(
      mbrl_jax.mppi(
        samples,
        temperature=swingup.TEMPERATURE,
        # In units of half the action range, which is the largest torque.
        noise_scale=math.sqrt(swingup.VARIANCE) / swingup.MAX_TORQUE,
        control_cost=1.0,
      ),
      mbrl_jax.make_evaluate(mbrl_jax.Dynamics(_step), unroll=True),
      horizon=horizon,
      action_low=[-swingup.MAX_TORQUE],
      action_high=[swingup.MAX_TORQUE],
    )

    def act(state: Any, plan_state: Any, key: Any) -> tuple[Any, Any, Any]:
      # Splitting the key inside the compiled function saves a call.
      key, plan_key = jax.random.split(key)
      out, plan_state = planner.plan(None, state, plan_state, plan_key)
      return out.action, plan_state, key

    self.planner, self.make_state, self.episodes = planner, PhysicsState, 0
    self.act = jax.jit(act, compiler_options=compiler_options())
    start = time.perf_counter()
    self._reset()
    self._act(np.zeros(2, np.float32))
    return {"compile_seconds": time.perf_counter() - start}

  def _reset(self) -> None:
    """Resets the plan, with another key for each episode."""
    import jax

    self.episodes += 1
    self.plan_state, self.key = self.planner.init(), jax.random.key(self.episodes)

  def _act(self, obs: np.ndarray) -> float:
    """Returns the torque at one state ``[2]``."""
    state = self.make_state(*obs)
    action, self.plan_state, self.key = self.act(state, self.plan_state, self.key)
    return float(np.asarray(action)[0])  # indexing the jax array would call jax again

  def episode(self) -> dict:
    """Runs one episode."""
    self._reset()
    return swingup.episode(self._act)


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mppi", "episode")})
