"""Makes an ``Env`` of any Gymnasium environment."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from mbrl_jax.envs.adapters import task_functions
from mbrl_jax.envs.adapters.host.host_env import HostEnv
from mbrl_jax.envs.adapters.host.vector_host import VectorHost
from mbrl_jax.envs.adapters.host.worker_process import pack
from mbrl_jax.ops import validate
from mbrl_jax.ops.env_failure import EnvironmentFailed
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.types import EnvSpec, RewardFn, TerminationFn


def from_gymnasium(
  source: Any,
  *,
  reward: RewardFn | None = None,
  terminated: TerminationFn | None = None,
  episode_length: int | None = None,
  discrete: str = "one_hot",
  action_low: Any = None,
  action_high: Any = None,
  timeout: float | None = None,
  replay: bool = True,
  workers: int | None = None,
  **options: Any,
) -> HostEnv:
  """Makes an ``Env`` of a Gymnasium environment.

  It can be handed to ``make_step`` and everything else that takes an ``Env``, also under
  ``vmap``. ``Transition.next_obs`` is the true final observation, and equal keys give equal
  runs if the environment keeps to the seed that it is reset with.

  Resuming: the environment is reset with the seed of its episode and the actions since are
  replayed, which brings back all of it (of a MuJoCo-based one positions, velocities, warm
  start and random generators) exactly, in the time that the episode took so far. Where
  that is switched off (``replay=False``) or leads to another observation, the interrupted
  episode is truncated: its last transition is the first of a new episode, in which the action
  was taken, so ``transition.obs`` is not the state's there.

  Failures: an environment that raises (``sys.exit`` too), that returns something else than
  Gymnasium's protocol or its own spaces say, or that does not answer within ``timeout``,
  ends the compiled program with an error that says so in a sentence (see ``failure``);
  ``runtime.loop.train`` saves the run and stops with ``EnvironmentStopped``. Harmless
  deviations are taken as they are meant: numbers of another type, arrays of one element.

  Batches: rows are stepped side by side in ``workers`` processes, in which there is no jax,
  with the same outcome whatever their number. They end with the program, however it ends; one
  that dies is a failure as above.

  Actions: each is an element of the environment's space. Those of integer boxes are the
  nearest integers, so an integer at a bound has half the share of the others under uniform
  actions.

  Args:
    source: an id (``gymnasium.make`` makes its instances), a function without arguments
      that makes an instance, or an instance, which can serve one row only and is reset at
      once. All need only follow Gymnasium's protocol.
    reward: pure ``(obs [O], action [A], next_obs [O]) -> []`` in jax.numpy, the reward of
      simulator and planner alike. ``None``: the environment's own, which nobody can plan
      with: algorithms that plan refuse the task.
    terminated: the same for termination. ``None``: the environment's own; plans then go on
      for ever, and algorithms that learn from what their model imagines refuse the task.
      Where only the environment says that an episode is over it is truncated.
    episode_length: control steps; by default the environment's time limit.
    discrete: actions of a ``Discrete`` space are ``"one_hot"``, ``[n]`` within 0 and 1 of
      which the largest wins, or ``"index"``, ``[1]`` within 0 and n - 1, rounded.
    action_low, action_high: narrower bounds for a Box, one number or an array of its shape;
      by default its own. Algorithms need finite ones.
    timeout: seconds that a step, a reset or making an instance may take.
    replay: keep the actions of the episode and replay them where a state is to be
      restored. Switch it off where that does harm, as with a robot.
    workers: processes to step the rows of a batch in; 0: the program's own, in one thread.
      ``None``: as many as there are cores, once a batch is large enough for that to pay.
      Instances, and functions that no other process can import, stay in the program's.
    **options: for ``gymnasium.make``, with an id only.

  Returns:
    The environment. Observations of any shape, dictionaries and tuples are laid out as one
    vector, in which ``Discrete(n)`` is n numbers, one of them 1. Its ``spec.dt`` is the
    environment's ``dt``, else that of its ``render_fps``, else 1 s.

  Raises:
    ImportError: Gymnasium is not installed (by id); says how to install it.
    ValueError: an unknown id or option, an action space that is neither a bounded Box nor
      Discrete, observations without a fixed shape, no time limit, a vector environment, a
      reward or a termination that does not return one number or bool; workers for what stays
      in this process.
    EnvironmentFailed: it cannot be made or reset.
  """
  if timeout is not None:
    validate.positive(timeout=timeout)
  name, make, single = _maker(source, episode_length, options)
  settings = {
    "single": single,
    "discrete": discrete,
    "replay": replay,
    "action_low": action_low,
    "action_high": action_high,
  }
  packed = _packed(source, make, workers)
  try:
    hosts = VectorHost(name, make, packed=packed, workers=workers, timeout=timeout, **settings)
  except EnvironmentFailed as error:
    if isinstance(source, str) and isinstance(error.__cause__, _refusals()):
      raise ValueError(f"gymnasium.make({source!r}) fails: {error.__cause__}") from error
    raise
  host = hosts.own
  judged = f"from_gymnasium({_written(source)}", host.obs_dim, len(host.actions.low)
  spec = EnvSpec(
    name=name,
    obs_dim=host.obs_dim,
    action_low=host.actions.low,
    action_high=host.actions.high,
    dt=_dt(host.probe),
    episode_length=_length(name, host.probe, episode_length),
    reward=task_functions.reward(reward, *judged),
    terminated=task_functions.terminated(terminated, *judged),
  )
  return HostEnv(spec, hosts, reward, terminated, replay, host.model)


def _maker(
  source: Any, episode_length: int | None, options: dict[str, Any]
) -> tuple[str, Callable[[], Any], bool]:
  """Returns a name, what makes an instance, and whether there is only one."""
  if isinstance(source, str):
    gymnasium = import_extra("gymnasium")
    options = {"max_episode_steps": episode_length, "disable_env_checker": True, **options}
    return f"gymnasium:{source}", functools.partial(gymnasium.make, source, **options), False
  if options:
    raise ValueError(f"{next(iter(options))!r} is an option for gymnasium.make, with an id.")
  if hasattr(source, "step") and hasattr(source, "reset") and not inspect.isclass(source):
    known = getattr(source, "spec", None)
    name = getattr(known, "id", None) or type(getattr(source, "unwrapped", source)).__name__
    return name, lambda: source, True
  if not callable(source):
    raise ValueError(f"source must be an id, an environment or a function, got {source!r}.")
  return getattr(source, "__name__", type(source).__name__), source, False


def _packed(source: Any, make: Callable[[], Any], workers: int | None) -> bytes | None:
  """Returns ``make`` for other processes, ``None`` where it stays in this one.

  Raises:
    ValueError: no number of workers, or there cannot be any.
  """
  whole = isinstance(workers, Integral) and not isinstance(workers, bool) and workers >= 0
  if workers is not None and not whole:
    raise ValueError(f"workers must be a whole number from 0 on, or None, got {workers!r}.")
  if isinstance(make, functools.partial) and isinstance(source, str):
    # What this program has registered is not registered in others.
    known = import_extra("gymnasium").registry.get(source, source)
    make = functools.partial(make.func, known, **make.keywords)
  try:
    return pack(make) if workers != 0 else None
  except ValueError as error:
    if workers is None:
      return None
    raise ValueError(
      f"workers={workers} needs an id, or a function that another process can import, got "
      f"{source!r} ({error}): workers=0 steps all rows in this process."
    ) from error


def _refusals() -> tuple[type[Exception], ...]:
  """Returns what ``gymnasium.make`` raises where an id or an option is wrong."""
  return import_extra("gymnasium").error.Error, TypeError, ImportError


def _length(name: str, env: Any, asked: int | None) -> int:
  """Returns the control steps of an episode."""
  limit = getattr(getattr(env, "spec", None), "max_episode_steps", None)
  length = limit if asked is None else asked
  if length is None:
    raise ValueError(f"{name} has no time limit: give it one, episode_length=1000.")
  validate.positive(episode_length=length)
  return int(length)


def _dt(env: Any) -> float:
  """Returns the seconds of a control step."""
  dt = getattr(getattr(env, "unwrapped", env), "dt", None)
  rate = (getattr(env, "metadata", None) or {}).get("render_fps")
  proper = lambda number: isinstance(number, Real) and 0 < number < math.inf
  return float(dt) if proper(dt) else 1 / float(rate) if proper(rate) else 1.0


def _written(source: Any) -> str:
  return repr(source) if isinstance(source, str) else "env"
