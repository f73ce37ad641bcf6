"""Steps tasks on MuJoCo C and on MJX, and bare MuJoCo from the same states.

Bare are ``mujoco.rollout`` and ``mujoco.batch.Batch``. They are given the motor commands that
the task made of its random actions, so all compute the same trajectories; ours also observes,
rewards and carries its state in jax.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol

FEWEST, MOST = 5, 1000
"""Control steps of one turn on MuJoCo C."""
MJX_STEPS = {1: 50, 1024: 1}
"""Control steps of one turn on MJX, by the size of the batch."""


class Jobs:
  """What this worker holds between requests: one task at one batch size."""

  def setup_envs(self, name: str, batch: int, engine: str, turn_seconds: float) -> dict:
    """Builds everything for one task; a turn of MuJoCo C takes about so long.

    Returns:
      Systems that can take turns, none where the task has no such engine, and the seconds
      that compiling one program of all steps took.
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
      self._calls()
      self.steps = self._count(turn_seconds)
    else:
      self.steps = MJX_STEPS[batch]
    seconds = self._episodes()
    if engine == "mujoco":
      self._bare()
    return {"systems": list(self.turns), "steps": self.steps, "compile_seconds": seconds}

  def turn(self, system: str) -> dict:
    """Lets one system take its steps; returns steps of environments per second."""
    start = time.perf_counter()
    self.turns[system]()
    return {"rate": self.steps * self.batch / (time.perf_counter() - start)}

  def _advance(self, state: Any, action: Any) -> tuple[Any, Any]:
    """Takes one step of one or of all environments; also returns the motor commands."""
    import jax

    step = lambda state, action: self.task.step(state, action, jax.random.key(0))[0]
    command = self.task.command or (lambda physics, action: action)
    tell = lambda state, action: command(state.physics, action)
    if self.batch > 1:
      step, tell = jax.vmap(step), jax.vmap(tell)
    return step(state, action), tell(state, action)

  def _calls(self) -> None:
    """Compiles a step that is called from Python."""
    import jax

    self.step = jax.jit(lambda state, action: self._advance(state, action)[0])

    def loop() -> None:
      state = self.states
      for action in self.actions:
        state = self.step(state, action)
      jax.block_until_ready(state)

    self.turns["from Python"] = loop

  def _episodes(self) -> float:
    """Compiles all steps as one program, and runs it for the motor commands."""
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

  def _bare(self) -> None:
    """Prepares bare MuJoCo: a call for each control step, and one rollout for all."""
    from mujoco import MjData, rollout

    model, batch = self.task.model, self.batch
    threads = 0 if batch == 1 else protocol.cores()
    pool = rollout.Rollout(nthread=threads)
    data = [MjData(model) for _ in range(max(1, threads))]
    start = self._full()
    ctrl = np.float64(self.ctrl).reshape(self.steps, batch, 1, model.nu)
    self._batches(ctrl[:, :, 0])
    substeps = self._substeps()
    whole = np.repeat(np.swapaxes(ctrl[:, :, 0], 0, 1), substeps, axis=1)

    def loop() -> np.ndarray:
      states = start
      for row in ctrl:
        states = pool.rollout(model, data, states, row, nstep=substeps)[0][:, -1]
      return states

    self.turns["rollout from Python"] = loop
    self.turns["one rollout"] = lambda: pool.rollout(model, data, start, whole)

  def _batches(self, ctrl: np.ndarray) -> None:
    """Prepares the bare batches: without and with positions and velocities after a step."""
    from mujoco import mjtStage
    from mujoco.batch import Batch

    physics, substeps = self.states.physics, self._substeps()
    batch = Batch(self.task.model, self.batch, protocol.cores())
    begin = batch.state.copy()

    def loop(stage: int) -> np.ndarray:
      batch.state[:] = begin
      batch.qpos[:], batch.qvel[:], batch.act[:] = physics.qpos, physics.qvel, physics.data.act
      for row in ctrl:
        batch.ctrl[:] = row
        batch.step(nstep=substeps, stage=stage)
      return np.concatenate([batch.time[:, None], batch.qpos, batch.qvel], 1)

    self.turns["Batch from Python"] = lambda: loop(int(mjtStage.mjSTAGE_NONE))
    self.turns["Batch and look from Python"] = lambda: loop(int(mjtStage.mjSTAGE_VEL))

  def _full(self) -> np.ndarray:
    """Returns the initial states as MuJoCo has them ``[B, S]``."""
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
    """Draws random actions ``[steps, B, A]``, without ``B`` where there is one."""
    spec = self.task.spec
    shape = (steps, *([] if self.batch == 1 else [self.batch]), spec.action_dim)
    draw = np.random.default_rng(0).uniform(spec.action_low, spec.action_high, shape)
    return draw.astype(np.float32)

  def _substeps(self) -> int:
    return round(self.task.spec.dt / self.task.model.opt.timestep)

  def _count(self, seconds: float) -> int:
    """Returns how many control steps fill a turn of so many seconds."""
    import jax

    self.actions, took = self._actions(1), []
    for _ in range(4):
      start = time.perf_counter()
      jax.block_until_ready(self.step(self.states, self.actions[0]))
      took.append(time.perf_counter() - start)
    return int(np.clip(seconds / min(took), FEWEST, MOST))


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_envs", "turn")})
