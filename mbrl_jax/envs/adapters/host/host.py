"""Runs somebody else's environment on the host as if it were a pure function.

A state is a seed and the actions taken since ``reset(seed=seed)``, no more: an environment
that keeps to its seed is a function of these. Some instance usually is in the state that
is to be stepped; it is found by a token, a hash of seed and actions. Where none is, because
the run was resumed in a new process or the instance serves another episode, the actions
are replayed in another one. If that leads elsewhere, or must not be done, the episode is
over: the action is taken in a new one, which is reported as its first and last step, so
that what is learned from is true.

A host lives in the program's process or in a worker process, in which there is no jax: this
module and all that it imports do without.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.envs.adapters.host import protocol, spaces
from mbrl_jax.envs.adapters.host.host_thread import Late, Quit
from mbrl_jax.envs.adapters.host.pool import Instance, Pool
from mbrl_jax.ops.env_failure import Malformed, failed, text_of

_SPARE = 4  # instances for each row of the largest batch: training, evaluation, leftovers
_FEWEST = 8


class Row(NamedTuple):
  """The state of one row, and the action to take in it; of several rows, ``[N]`` of each.

  Attributes:
    seed: of the episode ``[]``.
    token: names the state ``[2]`` uint32.
    steps: actions taken so far ``[]``.
    actions: all actions of the episode ``[T, A]``, the first ``steps`` of which count;
      ``None`` where an instance is expected to be in the state.
    obs: flat observation ``[O]``.
    ended: whether the episode is over ``[]`` bool.
    action: within the bounds ``[A]``.
  """

  seed: np.ndarray
  token: np.ndarray
  steps: np.ndarray
  actions: np.ndarray | Sequence[np.ndarray | None] | None
  obs: np.ndarray
  ended: np.ndarray
  action: np.ndarray


class Stepped(NamedTuple):
  """What a step of one row leads to; of several rows, ``[N]`` of each.

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
  reward: np.ndarray | float
  terminated: np.ndarray | bool
  truncated: np.ndarray | bool
  lost: np.ndarray | bool


class Host:
  """Resets and steps rows in one process.

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
      call: ``(what, function) ->`` what the function returns, called where instances live;
        raises what it raises, or ``Late``, ``Quit``.
      discrete: see ``spaces.actions``.
      single: ``make`` returns the same instance each time.
      replay: whether episodes may be replayed.
      action_low, action_high: see ``spaces.actions``.
      where: of which process messages are to tell, as in ``", worker 1"``.

    Raises:
      ValueError: a space that cannot be adapted.
      EnvironmentFailed: it cannot be made or reset.
    """
    self.name, self._make, self._call, self._where = name, make, call, where
    self._replays = replay
    # One that is shared has one instance, however many rows there are.
    self._limit = 1 if single else None
    self._pool = Pool(self._limit or _FEWEST)
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

  def reset(self, seeds: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, ...]:
    """Begins episodes.

    Args:
      seeds: of the episodes ``[N]`` uint32.
      ended: tokens of the states that nobody will ask for any more ``[N, 2]``.

    Returns:
      Tokens ``[N, 2]``, observations ``[N, O]`` and poses ``[N, Q]``.

    Raises:
      EnvironmentFailed: an instance raises, hangs or returns nonsense.
    """
    self._expect(len(seeds))
    results = [self._reset(*row) for row in zip(seeds, ended, strict=True)]
    return tuple(np.stack(column) for column in zip(*results, strict=True))

  def step(self, rows: Row) -> tuple[Stepped, list[int]]:
    """Steps rows ``[N]``.

    Returns:
      What they lead to ``[N]``, and which could not be stepped because no instance is in
      their state and their actions were not given; nothing is known of these.

    Raises:
      EnvironmentFailed: an instance raises, hangs or returns nonsense.
    """
    count, missing = len(rows.seed), []
    self._expect(count - int(np.sum(rows.ended)))
    out = blank(count, self.obs_dim, self.pose_dim, rows.action.shape[1])
    for i in range(count):
      stepped = self._step(Row(*(field[i] for field in rows)))
      if stepped is None:
        missing.append(i)
        continue
      for column, value in zip(out, stepped, strict=True):
        column[i] = value
    return out, missing

  def close(self) -> None:
    """Closes all instances.

    Raises:
      EnvironmentFailed: one raises; the others are closed all the same.
    """
    with contextlib.ExitStack() as stack:
      for instance in self._pool.clear():
        stack.callback(self._do, "close", instance.env.close)

  def _reset(self, seed: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, ...]:
    self._pool.release(ended.tobytes())
    token = token_of(seed)
    instance = self._pool.look(token.tobytes())
    if instance is None:
      instance = self._begin(seed)
      self._pool.keep(token.tobytes(), instance)
    return token, instance.obs, instance.pose

  def _step(self, row: Row) -> Stepped | None:
    if row.ended:
      pose = np.zeros(self.pose_dim)
      shown = row.obs, row.obs, pose
      return Stepped(row.token, row.action, *shown, 0.0, False, False, False)
    if np.isnan(row.action).any() or np.isnan(row.obs).any():
      nan = lambda size: np.full(size, np.nan)
      shown = row.obs, nan(self.obs_dim), nan(self.pose_dim)
      return Stepped(row.token, row.action, *shown, np.nan, False, False, False)
    instance = self._pool.take(row.token.tobytes())
    if instance is None and row.actions is None:
      return None
    instance = instance or self._restore(row)
    lost = instance is None
    token = token_of(row.token, row.action)
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
    """Calls a function of the environment where it lives."""
    doing = what + self._where
    try:
      return self._call(what, function)
    except Late as late:
      self._pool.clear()  # they belong to the thread that hangs
      raise failed(f"{self.name} did not answer within {late.args[0]:g} s ({doing}).") from None
    except Malformed as error:
      found, expected = error.args
      raise failed(f"{self.name} returned {found} from {doing}, not {expected}.") from error
    except Exception as error:
      raised = error.__cause__ if isinstance(error, Quit) else error
      text = text_of(raised)
      text = f": {text}" if text else "."
      raise failed(f"{self.name} raised {type(raised).__name__} ({doing}){text}") from raised

  def _expect(self, rows: int) -> None:
    """Makes room for a batch."""
    self._pool.limit = self._limit or max(self._pool.limit, _SPARE * rows)


def blank(count: int, obs_dim: int, pose_dim: int, action_dim: int) -> Stepped:
  """Returns arrays of ``count`` rows to be filled."""
  real = lambda *shape: np.zeros((count, *shape), np.float32)
  flag = lambda: np.zeros(count, bool)
  token = np.zeros((count, 2), np.uint32)
  obs = real(obs_dim), real(obs_dim)
  return Stepped(token, real(action_dim), *obs, real(pose_dim), real(), flag(), flag(), flag())


def _model(env: Any) -> Any:
  """Returns the model of a MuJoCo-based environment, one that shows its ``data``, too.

  Known by the names of the types: an environment without MuJoCo is not to load it.
  """
  env = getattr(env, "unwrapped", env)
  model, data = getattr(env, "model", None), getattr(env, "data", None)
  kinds = [(type(x).__module__.partition(".")[0], type(x).__name__) for x in (model, data)]
  return model if kinds == [("mujoco", "MjModel"), ("mujoco", "MjData")] else None


def token_of(*parts: Any) -> np.ndarray:
  """Hashes arrays to a token ``[2]`` uint32."""
  content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
  return np.frombuffer(hashlib.blake2b(content, digest_size=8).digest(), np.uint32)
