"""Steps tasks on MuJoCo's C engine and on MJX, and bare MuJoCo from the same states.

Bare MuJoCo is ``mujoco.rollout`` and ``mujoco.batch.Batch``. They receive the motor commands
that the task computed from its random actions, so all trajectories are equal; mbrl_jax also
computes observations and rewards and keeps its state in jax.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol

MIN_STEPS, MAX_STEPS = 5, 1000
"""Limits of the control steps of one turn on MuJoCo's C engine."""
MJX_STEPS = {1: 50, 1024: 1}
"""Control steps of one turn on MJX, by batch size."""


class Jobs:
  """Steps one task at one batch size; keeps the compiled loops between requests."""

  def setup_envs(self, name: str, batch: int, engine: str, turn_seconds: float) -> dict:
    """Prepares one task; a turn on MuJoCo's C engine takes about ``turn_seconds``.

    Returns:
      ``systems``, the arguments that ``turn`` accepts, empty if the task does not run on this
      engine; ``steps`` of a turn; ``compile_seconds`` of the program of all steps.
    """
    import jax

    import mbrl_jax

    self.turns: dict[str, Callable[[], Any]] = {}
    try:
      self.task = mbrl_jax.make_env(name, engine)
    except ValueError:
      return {"systems": []}
    self.batch, keys = batch, jax.random.split(jax.random.key(0), batch)
    self.states = jax.block_until_ready(jax.jit(jax.vmap(self.task.reset))(keys))
    if batch == 1:
      self.states = jax.tree.map(lambda leaf: leaf[0], self.states)
    if engine == "mujoco":
      self._prepare_step()
      self.steps = self._count_steps(turn_seconds)
    else:
      self.steps = MJX_STEPS[batch]
    seconds = self._prepare_loop()
    if engine == "mujoco":
      self._prepare_rollout()
    return {"systems": list(self.turns), "steps": self.steps, "compile_seconds": seconds}

  def turn(self, system: str) -> dict:
    """Runs one system's steps; returns environment steps per second."""
    start = time.perf_counter()
    self.turns[system]()
    return {"rate": self.steps * self.batch / (time.perf_counter() - start)}

  def _advance(self, state: Any, action: Any) -> tuple[Any, Any]:
    """Steps one environment or a batch; returns the states and the motor commands."""
    import jax

    step = lambda state, action: self.task.step(state, action, jax.random.key(0))[0]
    command = self.task.command or (lambda physics, action: action)
    ctrl = lambda state, action: command(state.physics, action)
    if self.batch > 1:
      step, ctrl = jax.vmap(step), jax.vmap(ctrl)
    return step(state, action), ctrl(state, action)

  def _prepare_step(self) -> None:
    """Prepares a step that is called from Python."""
    import jax

    self.step = jax.jit(lambda state, action: self._advance(state, action)[0])

    def loop() -> None:
      state = self.states
      for action in self.actions:
        state = self.step(state, action)
      jax.block_until_ready(state)

    self.turns["from Python"] = loop

  def _prepare_loop(self) -> float:
    """Compiles all steps as one program and runs it to get the motor commands."""
    import jax

    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    self.actions = self._actions(self.steps)
    run = jax.jit(
      lambda state, actions: jax.lax.scan(self._advance, state, actions),
      compiler_options=compiler_options(),
    )
    run, seconds = compile_ahead(run, self.states, self.actions)
    self.end, self.ctrl = jax.block_until_ready(run(self.states, self.actions))
    self.turns["one program"] = lambda: jax.block_until_ready(run(self.states, self.actions))
    return seconds

  def _prepare_rollout(self) -> None:
    """Prepares ``mujoco.rollout``, called per control step and once for all, and ``Batch``."""
    from mujoco import MjData, rollout

    model, batch = self.task.model, self.batch
    threads = 0 if batch == 1 else protocol.cores()
    pool = rollout.Rollout(nthread=threads)
    data = [MjData(model) for _ in range(max(1, threads))]
    initial = self._full_states()
    ctrl = np.float64(self.ctrl).reshape(self.steps, batch, 1, model.nu)
    self._prepare_batch(ctrl[:, :, 0])
    substeps = self._substeps()
    repeated = np.repeat(np.swapaxes(ctrl[:, :, 0], 0, 1), substeps, axis=1)

    def loop() -> np.ndarray:
      states = initial
      for row in ctrl:
        states = pool.rollout(model, data, states, row, nstep=substeps)[0][:, -1]
      return states

    self.turns["rollout from Python"] = loop
    self.turns["one rollout"] = lambda: pool.rollout(model, data, initial, repeated)

  def _prepare_batch(self, ctrl: np.ndarray) -> None:
    """Prepares ``Batch``, without and with positions and velocities of the new state."""
    from mujoco import mjtStage
    from mujoco.batch import Batch

    physics, substeps = self.states.physics, self._substeps()
    batch = Batch(self.task.model, self.batch, protocol.cores())
    initial = batch.state.copy()

    def loop(stage: int) -> np.ndarray:
      batch.state[:] = initial
      batch.qpos[:], batch.qvel[:], batch.act[:] = physics.qpos, physics.qvel, physics.data.act
      for row in ctrl:
        batch.ctrl[:] = row
        batch.step(nstep=substeps, stage=stage)
      return np.concatenate([batch.time[:, None], batch.qpos, batch.qvel], 1)

    self.turns["Batch from Python"] = lambda: loop(int(mjtStage.mjSTAGE_NONE))
    self.turns["Batch and look from Python"] = lambda: loop(int(mjtStage.mjSTAGE_VEL))

  def _full_states(self) -> np.ndarray:
    """Returns the initial states in MuJoCo's full-physics layout ``[B, S]``."""
    import mujoco

    model, physics = self.task.model, self.states.physics
    full = np.zeros(
      (self.batch, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS))
    )
    parts = np.float64(physics.qpos), np.float64(physics.qvel), np.float64(physics.data.act)
    parts = np.concatenate([part.reshape(self.batch, -1) for part in parts], 1)
    full[:, 1 : 1 + parts.shape[1]] = parts
    return full

  def _actions(self, steps: int) -> np.ndarray:
    """Draws random actions ``[steps, B, A]``, or ``[steps, A]`` if the batch size is one."""
    spec = self.task.spec
    shape = (steps, *([] if self.batch == 1 else [self.batch]), spec.action_dim)
    draw = np.random.default_rng(0).uniform(spec.action_low, spec.action_high, shape)
    return draw.astype(np.float32)

  def _substeps(self) -> int:
    """Returns the number of physics steps per control step."""
    return round(self.task.spec.dt / self.task.model.opt.timestep)

  def _count_steps(self, seconds: float) -> int:
    """Returns the number of control steps that take about ``seconds``."""
    import jax

    self.actions, times = self._actions(1), []
    for _ in range(4):
      start = time.perf_counter()
      jax.block_until_ready(self.step(self.states, self.actions[0]))
      times.append(time.perf_counter() - start)
    return int(np.clip(seconds / min(times), MIN_STEPS, MAX_STEPS))


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_envs", "turn")})
