"""Commands the pendulum with mbrl_jax's MPPI for the benchmark."""

from __future__ import annotations

import math
import time

import numpy as np

from experiments.benchmark.peers import protocol, swingup


def _step(params, state, action, key):
  """Moves the pendulum by the equations of the environment; the state holds two scalars."""
  import jax.numpy as jnp

  from mbrl_jax.envs.tasks.analytic import pendulum

  del params, key
  state = pendulum.step(state, action[0])
  wrapped = state.qpos - 2 * math.pi * jnp.round(state.qpos / (2 * math.pi))
  reward = -(wrapped**2 + 0.1 * state.qvel**2)
  return state, reward, jnp.zeros((), bool)


class Jobs:
  """What this worker holds between requests."""

  def setup_mppi(self, samples: int, horizon: int) -> dict:
    """Builds and compiles the planner."""
    import jax

    import mbrl_jax
    from mbrl_jax.envs.physics.base import PhysicsState
    from mbrl_jax.runtime.devices.compilation import compiler_options

    planner = mbrl_jax.make_planner(
      mbrl_jax.mppi(
        samples,
        temperature=swingup.TEMPERATURE,
        # Of half the action range, which is the largest torque.
        noise_scale=math.sqrt(swingup.VARIANCE) / swingup.MAX_TORQUE,
        control_cost=1.0,
      ),
      mbrl_jax.make_evaluate(mbrl_jax.Dynamics(_step), unroll=True),
      horizon=horizon,
      action_low=[-swingup.MAX_TORQUE],
      action_high=[swingup.MAX_TORQUE],
    )

    def command(state, plan_state, key):
      # Splitting inside saves a call; a key of its own for every command.
      key, plan_key = jax.random.split(key)
      out, plan_state = planner.plan(None, state, plan_state, plan_key)
      return out.action, plan_state, key

    self.planner, self.state, self.rounds = planner, PhysicsState, 0
    self.command = jax.jit(command, compiler_options=compiler_options())
    start = time.perf_counter()
    self._begin()
    self._command(np.zeros(2, np.float32))
    return {"compile_seconds": time.perf_counter() - start}

  def _begin(self) -> None:
    import jax

    self.rounds += 1
    self.plan_state, self.key = self.planner.init(), jax.random.key(self.rounds)

  def _command(self, state: np.ndarray) -> float:
    state = self.state(*state)
    action, self.plan_state, self.key = self.command(state, self.plan_state, self.key)
    return float(np.asarray(action)[0])  # indexing the array itself would call jax again

  def episode(self) -> dict:
    """Commands one episode."""
    self._begin()
    return swingup.episode(self._command)


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mppi", "episode")})
