"""Runs somebody else's environment on the host as if it were a pure function.

A state is a seed and the actions taken since ``reset(seed=seed)``, no more: an environment
that keeps to its seed is a function of these. Some instance usually is in the state that
is to be stepped; it is found by a token, a hash of seed and actions. Where none is, because
the run was resumed in a new process or the instance serves another episode, the actions
are replayed in another one. If that leads elsewhere, or must not be done, the episode is
over: the action is taken in a new one, which is reported as its first and last step, so
that what is learned from is true.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco
import numpy as np

from mbrl_jax.envs.adapters import protocol, spaces
from mbrl_jax.envs.adapters.failure import Malformed, failed, marks_failure, text_of
from mbrl_jax.envs.adapters.pool import Instance, Pool
from mbrl_jax.envs.adapters.worker import Late, Quit, Worker

_SPARE = 4  # instances for each row of the largest batch: training, evaluation, leftovers
_FEWEST = 8


class Row(NamedTuple):
  """The state of one row, and the action to take in it.

  Attributes:
    seed: of the episode ``[]``.
    token: names the state ``[2]`` uint32.
    steps: actions taken so far ``[]``.
    actions: all actions of the episode ``[T, A]``, the first ``steps`` of which count.
    obs: flat observation ``[O]``.
    ended: whether the episode is over ``[]`` bool.
    action: within the bounds ``[A]``.
  """

  seed: np.ndarray
  token: np.ndarray
  steps: np.ndarray
  actions: np.ndarray
  obs: np.ndarray
  ended: np.ndarray
  action: np.ndarray


class Stepped(NamedTuple):
  """What a step of one row leads to.

  Attributes:
    token: of the next state ``[2]`` uint32.
    action: that of the row, bit for bit what the environment was given ``[A]``.
    before: observation in which the action was taken ``[O]``.
    obs: observation after it ``[O]``.
    pose: what a renderer needs ``[Q]``.
    reward: the environment's own ``[]``.
    terminated, truncated: the environment's own ``[]`` bool.
    lost: whether the state could not be restored and a new episode took its place.
  """

  token: np.ndarray
  action: np.ndarray
  before: np.ndarray
  obs: np.ndarray
  pose: np.ndarray
  reward: float
  terminated: bool
  truncated: bool
  lost: bool


class Host:
  """Resets and steps rows.

  Attributes:
    name: of the environment, for messages.
    probe: an instance, to look at its spaces and attributes.
    model: its MuJoCo model, if it has one.
    actions: its space of actions.
    obs_dim, pose_dim: ``O`` and ``Q``.
  """

  def __init__(
    self,
    name: str,
    make: Callable[[], Any],
    *,
    discrete: str,
    single: bool,
    timeout: float | None,
    replay: bool,
    action_low: Any = None,
    action_high: Any = None,
  ):
    """Makes the first instance.

    Args:
      name: of the environment.
      make: makes an instance.
      discrete: see ``spaces.actions``.
      single: ``make`` returns the same instance each time.
      timeout: seconds that an instance may take to answer.
      replay: whether episodes may be replayed.
      action_low, action_high: see ``spaces.actions``.

    Raises:
      ValueError: a space that cannot be adapted.
      EnvironmentFailed: it cannot be made or reset.
    """
    self.name, self._make = name, make
    self._single, self._replays = single, replay
    self._pool = Pool(1 if single else _FEWEST)
    self._worker = Worker(timeout)
    self._lock = threading.Lock()
    self.probe = self._do("being made", self._make)
    if hasattr(self.probe, "num_envs"):
      raise ValueError(
        f"{name} steps several environments at once: give from_gymnasium the id, or a function "
        "that makes one, and it makes as many as are needed."
      )
    space = lambda name: getattr(self.probe, name, None)
    self.actions = spaces.actions(space("action_space"), discrete, action_low, action_high)
    self._space = space("observation_space")
    self.obs_dim = spaces.size(self._space)
    instance = self._begin(0, self.probe)  # shows the pose; begins anew when it is needed
    self._pool.free(instance)
    self.model, self.pose_dim = _model(self.probe), len(instance.pose)

  @marks_failure
  def reset(self, wanted: Any, seeds: Any, ended: Any) -> tuple[np.ndarray, ...]:
    """Begins episodes.

    Args:
      wanted: which rows are to begin ``[...]`` bool; the others are left alone.
      seeds: of the episodes ``[...]`` uint32.
      ended: tokens of the states that nobody will ask for any more ``[..., 2]``.

    Returns:
      Tokens ``[..., 2]``, observations ``[..., O]`` and poses ``[..., Q]``.
    """
    batch = np.shape(wanted)
    rows = zip(np.ravel(wanted), np.ravel(seeds), ended.reshape(-1, 2), strict=True)
    with self._lock:
      self._expect(int(np.sum(wanted)))
      results = [self._reset(*row) for row in rows]
    return tuple(_stack(column, batch) for column in zip(*results, strict=True))

  @marks_failure
  def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Steps rows: the fields of ``Row`` to those of ``Stepped``, ``[..., ...]`` each."""
    batch = np.shape(arrays[0])
    count = int(np.prod(batch))
    rows = [
      Row(*(x.reshape(count, *x.shape[len(batch) :])[i] for x in arrays)) for i in range(count)
    ]
    with self._lock:
      self._expect(sum(not row.ended for row in rows))
      results = [self._step(row) for row in rows]
    return tuple(_stack(column, batch) for column in zip(*results, strict=True))

  def close(self) -> None:
    """Closes all instances.

    Raises:
      EnvironmentFailed: one raises; the others are closed all the same.
    """
    with self._lock, contextlib.ExitStack() as stack:
      for instance in self._pool.clear():
        stack.callback(self._do, "close", instance.env.close)

  def _reset(self, wanted: bool, seed: int, ended: np.ndarray) -> tuple[np.ndarray, ...]:
    if not wanted:
      return np.zeros(2, np.uint32), np.zeros(self.obs_dim), np.zeros(self.pose_dim)
    self._pool.release(ended.tobytes())
    token = _token(seed)
    instance = self._pool.look(token.tobytes())
    if instance is None:
      instance = self._begin(seed)
      self._pool.keep(token.tobytes(), instance)
    return token, instance.obs, instance.pose

  def _step(self, row: Row) -> Stepped:
    if row.ended:
      pose = np.zeros(self.pose_dim)
      shown = row.obs, row.obs, pose
      return Stepped(row.token, row.action, *shown, 0.0, False, False, False)
    if np.isnan(row.action).any() or np.isnan(row.obs).any():
      nan = lambda size: np.full(size, np.nan)
      shown = row.obs, nan(self.obs_dim), nan(self.pose_dim)
      return Stepped(row.token, row.action, *shown, np.nan, False, False, False)
    instance = self._pool.take(row.token.tobytes()) or self._restore(row)
    lost = instance is None
    token = _token(row.token, row.action)
    if instance is None:
      instance = self._begin(int(token[0]))
    before = instance.obs
    reward, terminated, truncated = self._act(instance, row.action)
    if terminated or truncated or lost:
      self._pool.free(instance)
    else:
      self._pool.keep(token.tobytes(), instance)
    shown = before, instance.obs, instance.pose
    return Stepped(token, row.action, *shown, reward, terminated, truncated or lost, lost)

  def _restore(self, row: Row) -> Instance | None:
    """Brings an instance into the state of a row, if that can be done."""
    if not self._replays:
      return None
    instance, over = self._begin(int(row.seed)), False
    for action in row.actions[: row.steps]:
      _, terminated, truncated = self._act(instance, action)
      over = terminated or truncated
      if over:
        break
    if over or not np.array_equal(instance.obs, row.obs):
      self._pool.free(instance)
      return None
    return instance

  def _begin(self, seed: int, env: Any = None) -> Instance:
    """Resets ``env``, by default an instance that is to spare, or a new one."""
    if env is None:
      spare = self._pool.spare()
      env = spare.env if spare is not None else self._do("being made", self._make)

    def begin() -> Instance:
      return self._show(env, protocol.read_reset(env.reset(seed=int(seed))))

    return self._do("reset", begin)

  def _act(self, instance: Instance, action: np.ndarray) -> tuple[float, bool, bool]:
    """Steps an instance; returns reward, terminated, truncated."""
    native = self.actions.decode(np.array(action))

    def act() -> tuple[float, bool, bool]:
      outcome = protocol.read_step(instance.env.step(native))
      shown = self._show(instance.env, outcome.obs)
      instance.obs, instance.pose = shown.obs, shown.pose
      return outcome.reward, outcome.terminated, outcome.truncated

    return self._do("step", act)

  def _show(self, env: Any, obs: Any) -> Instance:
    flat = spaces.flatten(self._space, obs)
    model = _model(env)
    return Instance(env, flat, flat if model is None else np.float32(env.unwrapped.data.qpos))

  def _do(self, what: str, function: Callable[[], Any]) -> Any:
    """Calls a function of the environment in its thread."""
    try:
      return self._worker.call(function)
    except Late:
      self._pool.clear()  # they belong to the thread that hangs
      limit = self._worker.timeout
      raise failed(f"{self.name} did not answer within {limit:g} s ({what}).") from None
    except Malformed as error:
      found, expected = error.args
      raise failed(f"{self.name} returned {found} from {what}, not {expected}.") from error
    except Exception as error:
      raised = error.__cause__ if isinstance(error, Quit) else error
      text = text_of(raised)
      text = f": {text}" if text else "."
      raise failed(f"{self.name} raised {type(raised).__name__} ({what}){text}") from raised

  def _expect(self, rows: int) -> None:
    """Makes room for a batch."""
    if self._single and rows > 1:
      raise failed(
        f"{self.name} is one instance and cannot serve {rows} rows at once: give "
        "from_gymnasium its id, or a function that makes one."
      )
    if not self._single:
      self._pool.limit = max(self._pool.limit, _SPARE * rows)


def _model(env: Any) -> mujoco.MjModel | None:
  """Returns the model of a MuJoCo-based environment, one that shows its ``data``, too."""
  env = getattr(env, "unwrapped", env)
  model, data = getattr(env, "model", None), getattr(env, "data", None)
  known = isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData)
  return model if known else None


def _token(*parts: Any) -> np.ndarray:
  """Hashes arrays to a token ``[2]`` uint32."""
  content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
  return np.frombuffer(hashlib.blake2b(content, digest_size=8).digest(), np.uint32)


def _stack(column: tuple, batch: tuple[int, ...]) -> np.ndarray:
  stacked = np.stack([np.asarray(x) for x in column])
  return stacked.reshape((*batch, *stacked.shape[1:]))
