"""Runs a Gymnasium-style environment on the host as if it were a pure function.

A state is a seed and the actions taken since ``reset(seed=seed)``: an environment that
respects its seed is a function of these. Usually some instance is already in the state to be
stepped; it is found by a token, a hash of seed and actions. If there is none, because the run
was resumed in a new process or the instance now runs another episode, the actions are replayed
in another instance. If the replay ends in another observation, or is disabled, the episode is
over: the action is taken in a new episode and reported as its first and last step, so that
every stored transition is real.

A host lives in the program's process or in a worker process without jax: neither this module
nor any that it imports may import jax.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mbrl_jax.envs.adapters.host import protocol, spaces
from mbrl_jax.envs.adapters.host.host_thread import HostExit, HostTimeout
from mbrl_jax.envs.adapters.host.pool import Instance, Pool
from mbrl_jax.envs.adapters.host.step_data import (
  InputBatch,
  OutputBatch,
  RowInput,
  empty_outputs,
  state_token,
)
from mbrl_jax.ops.env_failure import ProtocolError, environment_error, error_text

CONSTRUCTION = "construction"
"""Name of the operation that makes an instance, for messages."""
_INSTANCES_PER_ROW = 4  # of the largest batch: training, evaluation, abandoned episodes
_MIN_INSTANCES = 8


class Host:
  """Resets and steps rows in one process.

  Attributes:
    name: of the environment, for messages.
    probe: an instance whose spaces and attributes may be read.
    model: its MuJoCo model, if it has one.
    action_box: its action space as a box.
    obs_dim, pose_dim: ``O`` and ``Q``.
  """

  def __init__(
    self,
    name: str,
    make: Callable[[], Any],
    call: Callable[[str, Callable[[], Any]], Any],
    *,
    discrete: str,
    single: bool,
    replay: bool,
    action_low: Any = None,
    action_high: Any = None,
    where: str = "",
  ):
    """Makes the first instance.

    Args:
      name: of the environment.
      make: makes an instance.
      call: ``(operation, function) ->`` the function's result, called where the instances
        live; raises what the function raises, or ``HostTimeout``, ``HostExit``.
      discrete: see ``spaces.action_box``.
      single: ``make`` returns the same instance each time.
      replay: whether episodes may be replayed.
      action_low, action_high: see ``spaces.action_box``.
      where: process to name in messages, such as ``", worker 1"``.

    Raises:
      ValueError: a space that cannot be adapted.
      EnvironmentFailed: making or resetting the instance fails.
    """
    self.name, self._make, self._call, self._where = name, make, call, where
    self._replay_allowed = replay
    # A shared instance stays the only one, however many rows there are.
    self._limit = 1 if single else None
    self._pool = Pool(self._limit or _MIN_INSTANCES)
    self.probe = self._call_env(CONSTRUCTION, self._make)
    if hasattr(self.probe, "num_envs"):
      raise ValueError(
        f"{name} is a vector environment: give from_gymnasium the id, or a function that makes "
        "one environment, and it makes as many as it needs."
      )
    space = lambda name: getattr(self.probe, name, None)
    self.action_box = spaces.action_box(
      space("action_space"), discrete, action_low, action_high
    )
    self._space = space("observation_space")
    self.obs_dim = spaces.observation_size(self._space)
    instance = self._reset_instance(0, self.probe)  # gives the pose; is reset again before use
    self._pool.free(instance)
    self.model, self.pose_dim = _model(self.probe), len(instance.pose)

  def reset(self, seeds: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, ...]:
    """Starts episodes.

    Args:
      seeds: of the episodes ``[N]`` uint32.
      ended: tokens of the states that are no longer needed ``[N, 2]``.

    Returns:
      Tokens ``[N, 2]``, observations ``[N, O]`` and poses ``[N, Q]``.

    Raises:
      EnvironmentFailed: an instance raises, hangs or violates Gymnasium's protocol.
    """
    self._reserve(len(seeds))
    results = [self._reset_row(*row) for row in zip(seeds, ended, strict=True)]
    return tuple(np.stack(column) for column in zip(*results, strict=True))

  def step(self, rows: InputBatch) -> tuple[OutputBatch, list[int]]:
    """Steps rows ``[N]``.

    Returns:
      The outputs ``[N]``, and the indices of rows that were not stepped because no instance is
      in their state and their actions were not given; the outputs of these are not valid.

    Raises:
      EnvironmentFailed: an instance raises, hangs or violates Gymnasium's protocol.
    """
    count, missing = len(rows.seed), []
    self._reserve(count - int(np.sum(rows.ended)))
    out = empty_outputs(count, self.obs_dim, self.pose_dim, rows.action.shape[1])
    for i in range(count):
      values = self._step_row(rows.row(i))
      if values is None:
        missing.append(i)
        continue
      for column, value in zip(out, values, strict=True):
        column[i] = value
    return out, missing

  def close(self) -> None:
    """Closes all instances.

    Raises:
      EnvironmentFailed: an instance raises; the others are closed nevertheless.
    """
    with contextlib.ExitStack() as stack:
      for instance in self._pool.clear():
        stack.callback(self._call_env, "close", instance.env.close)

  def _reset_row(self, seed: np.uint32, ended: np.ndarray) -> tuple[np.ndarray, ...]:
    self._pool.release(ended.tobytes())
    token = state_token(seed)
    instance = self._pool.get(token.tobytes())
    if instance is None:
      instance = self._reset_instance(seed)
      self._pool.put(token.tobytes(), instance)
    return token, instance.obs, instance.pose

  def _step_row(self, row: RowInput) -> tuple[Any, ...] | None:
    """Returns the fields of ``OutputBatch`` for one row; ``None``: see ``step``."""
    if row.ended:
      pose = np.zeros(self.pose_dim)
      shown = row.obs, row.obs, pose
      return row.token, row.action, *shown, 0.0, False, False, False
    if np.isnan(row.action).any() or np.isnan(row.obs).any():
      nan = lambda size: np.full(size, np.nan)
      shown = row.obs, nan(self.obs_dim), nan(self.pose_dim)
      return row.token, row.action, *shown, np.nan, False, False, False
    instance = self._pool.pop(row.token.tobytes())
    if instance is None and row.actions is None:
      return None
    instance = instance or self._restore(row)
    lost = instance is None
    token = state_token(row.token, row.action)
    if instance is None:
      instance = self._reset_instance(int(token[0]))
    before = instance.obs
    reward, terminated, truncated = self._step_instance(instance, row.action)
    if terminated or truncated or lost:
      self._pool.free(instance)
    else:
      self._pool.put(token.tobytes(), instance)
    shown = before, instance.obs, instance.pose
    return token, row.action, *shown, reward, terminated, truncated or lost, lost

  def _restore(self, row: RowInput) -> Instance | None:
    """Replays a row's actions; returns the instance, or ``None`` if that is not possible."""
    if not self._replay_allowed or row.actions is None:
      return None
    instance, over = self._reset_instance(row.seed), False
    for action in row.actions[: row.steps]:
      _, terminated, truncated = self._step_instance(instance, action)
      over = terminated or truncated
      if over:
        break
    if over or not np.array_equal(instance.obs, row.obs):
      self._pool.free(instance)
      return None
    return instance

  def _reset_instance(self, seed: int | np.integer, env: Any = None) -> Instance:
    """Resets ``env``; ``None``: a spare instance, or a new one."""
    if env is None:
      spare = self._pool.acquire()
      env = spare.env if spare is not None else self._call_env(CONSTRUCTION, self._make)

    def reset() -> Instance:
      return self._observed(env, protocol.read_reset(env.reset(seed=int(seed))))

    return self._call_env("reset", reset)

  def _step_instance(self, instance: Instance, action: np.ndarray) -> tuple[float, bool, bool]:
    """Steps an instance; returns reward, terminated, truncated."""
    native = self.action_box.decode(np.array(action))

    def step() -> tuple[float, bool, bool]:
      result = protocol.read_step(instance.env.step(native))
      seen = self._observed(instance.env, result.obs)
      instance.obs, instance.pose = seen.obs, seen.pose
      return result.reward, result.terminated, result.truncated

    return self._call_env("step", step)

  def _observed(self, env: Any, obs: Any) -> Instance:
    """Returns an instance with its flat observation and its pose."""
    flat = spaces.flatten(self._space, obs)
    if _model(env) is None:
      return Instance(env, flat, flat)
    return Instance(env, flat, np.asarray(env.unwrapped.data.qpos).astype(np.float32))

  def _call_env(self, operation: str, function: Callable[[], Any]) -> Any:
    """Calls a function of the environment; turns its errors into ``EnvironmentFailed``."""
    doing = operation + self._where
    try:
      return self._call(operation, function)
    except HostTimeout as error:
      self._pool.clear()  # the instances belong to the thread that hangs
      raise environment_error(
        f"{self.name} did not answer within {error.args[0]:g} s ({doing})."
      ) from None
    except ProtocolError as error:
      found, expected = error.args
      message = f"{self.name} returned {found} from {doing}, not {expected}."
      raise environment_error(message) from error
    except Exception as error:
      raised = (error.__cause__ if isinstance(error, HostExit) else None) or error
      text = error_text(raised)
      text = f": {text}" if text else "."
      message = f"{self.name} raised {type(raised).__name__} ({doing}){text}"
      raise environment_error(message) from raised

  def _reserve(self, rows: int) -> None:
    """Raises the pool's limit to fit a batch."""
    self._pool.limit = self._limit or max(self._pool.limit, _INSTANCES_PER_ROW * rows)


def _model(env: Any) -> Any:
  """Returns the MuJoCo model of an environment that has ``model`` and ``data``, else ``None``.

  The types are compared by name, so that MuJoCo need not be imported.
  """
  env = getattr(env, "unwrapped", env)
  model, data = getattr(env, "model", None), getattr(env, "data", None)
  kinds = [(type(x).__module__.partition(".")[0], type(x).__name__) for x in (model, data)]
  return model if kinds == [("mujoco", "MjModel"), ("mujoco", "MjData")] else None
