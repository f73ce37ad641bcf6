"""Adapts Gymnasium environments to ``types.Env``.

Resuming: the environment is reset with the seed of its episode and the actions since are
replayed, which restores its whole state exactly (of a MuJoCo environment: positions,
velocities, warm start and random generators) and takes as long as the episode has taken so
far. With ``replay=False``, or if the replay ends in another observation, the interrupted
episode is truncated: its last transition is the first of a new episode, in which the action
was taken, so ``transition.obs`` is not the state's there.

Failures: an environment that raises (including ``sys.exit``), violates Gymnasium's protocol
or its own spaces, or does not answer within ``timeout`` ends the compiled program with an
error (see ``ops.env_failure.failure``); ``runtime.training.loop.train`` saves the run and
raises ``EnvironmentStopped``. Harmless deviations are converted: numbers of another type,
arrays of one element.

Batches: rows are stepped in parallel in ``workers`` processes, which do not import jax. The
results do not depend on the number of workers. They end with the program, however it ends;
one that dies is a failure as above.

Actions: each is an element of the environment's space. Actions of integer boxes are rounded,
so under uniform actions an integer at a bound is half as likely as the others.
"""

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

  It works with ``make_step`` and every other function that takes an ``Env``, also under
  ``vmap``. ``Transition.next_obs`` is the true final observation. Equal keys give equal runs if
  the environment respects its reset seed. The module's docstring describes resuming, failures,
  batches and actions.

  Args:
    source: an id for ``gymnasium.make``, a function without arguments that makes an instance,
      or an instance, which can serve one row only and is reset immediately. The latter two need
      only follow Gymnasium's protocol.
    reward: pure ``(obs [O], action [A], next_obs [O]) -> []`` in jax.numpy, used by the
      simulator and the planner. ``None``: the environment's own reward; algorithms that plan
      refuse the task.
    terminated: the same for termination. ``None``: the environment's own; plans then never
      terminate, and algorithms that learn from model rollouts refuse the task. If only the
      environment ends an episode, it is truncated.
    episode_length: control steps; by default the environment's time limit.
    discrete: actions of a ``Discrete`` space are ``"one_hot"``, ``[n]`` within 0 and 1 of
      which the largest wins, or ``"index"``, ``[1]`` within 0 and n - 1, rounded.
    action_low, action_high: narrower bounds for a Box, one number or an array of its shape;
      by default its own. Algorithms need finite ones.
    timeout: seconds that a step, a reset or making an instance may take.
    replay: store the actions of the episode and replay them to restore a state. Disable it
      where replaying does harm, as with a robot.
    workers: processes to step the rows of a batch in; 0: this process, in one thread.
      ``None``: one for each core if the batch is large enough to benefit. Instances, and
      functions that no other process can import, stay in this process.
    **options: for ``gymnasium.make``, with an id only.

  Returns:
    The environment. Observations of any shape, dictionaries and tuples are flattened to one
    vector, in which ``Discrete(n)`` is one-hot. Its ``spec.dt`` is the environment's ``dt``,
    else ``1 / render_fps``, else 1 s.

  Raises:
    ImportError: an id is given and Gymnasium is not installed; names the extra.
    ValueError: an unknown id or option, an action space that is neither a bounded Box nor
      Discrete, observations without a fixed shape, no time limit, a vector environment, a
      reward or termination function that does not return one number or bool, workers for a
      source that cannot leave this process.
    EnvironmentFailed: making or resetting the environment fails.

  Example:
    >>> from mbrl_jax import from_gymnasium
    >>> env = from_gymnasium("Pendulum-v1", workers=0)
    >>> env.spec.obs_dim, env.spec.action_low.tolist(), env.spec.episode_length
    (3, [-2.0], 200)
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
  hosts = _make_hosts(source, name, make, workers=workers, timeout=timeout, **settings)
  host = hosts.local
  shapes = f"from_gymnasium({_source_code(source)}", host.obs_dim, len(host.action_box.low)
  spec = EnvSpec(
    name=name,
    obs_dim=host.obs_dim,
    action_low=host.action_box.low,
    action_high=host.action_box.high,
    dt=_dt(host.probe),
    episode_length=_length(name, host.probe, episode_length),
    reward=task_functions.reward(reward, *shapes),
    terminated=task_functions.terminated(terminated, *shapes),
  )
  return HostEnv(spec, hosts, reward, terminated, replay, host.model)


def _make_hosts(
  source: Any, name: str, make: Callable[[], Any], *, workers: int | None, **settings: Any
) -> VectorHost:
  """Makes the first instance; a wrong id or option becomes a ``ValueError``."""
  packed = _packed(source, make, workers)
  try:
    return VectorHost(name, make, packed=packed, workers=workers, **settings)
  except EnvironmentFailed as error:
    if isinstance(source, str) and isinstance(error.__cause__, _refusals()):
      raise ValueError(f"gymnasium.make({source!r}) fails: {error.__cause__}") from error
    raise


def _maker(
  source: Any, episode_length: int | None, options: dict[str, Any]
) -> tuple[str, Callable[[], Any], bool]:
  """Returns a name, a function that makes an instance, and whether there is only one."""
  if isinstance(source, str):
    gymnasium = import_extra("gymnasium")
    options = {"max_episode_steps": episode_length, "disable_env_checker": True, **options}
    return f"gymnasium:{source}", functools.partial(gymnasium.make, source, **options), False
  if options:
    raise ValueError(
      f"{next(iter(options))!r} is an option for gymnasium.make, which needs an id."
    )
  if hasattr(source, "step") and hasattr(source, "reset") and not inspect.isclass(source):
    known = getattr(source, "spec", None)
    name = getattr(known, "id", None) or type(getattr(source, "unwrapped", source)).__name__
    return name, lambda: source, True
  if not callable(source):
    raise ValueError(f"source must be an id, an environment or a function, got {source!r}.")
  return getattr(source, "__name__", type(source).__name__), source, False


def _packed(source: Any, make: Callable[[], Any], workers: int | None) -> bytes | None:
  """Pickles ``make`` for other processes; ``None``: it stays in this one.

  Raises:
    ValueError: an invalid number of workers, or a source that cannot leave this process.
  """
  valid = isinstance(workers, Integral) and not isinstance(workers, bool) and workers >= 0
  if workers is not None and not valid:
    raise ValueError(f"workers must be a non-negative integer or None, got {workers!r}.")
  if isinstance(make, functools.partial) and isinstance(source, str):
    # Environments registered by this program are not registered in the workers.
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
  """Returns the exceptions of ``gymnasium.make`` for a wrong id or option."""
  return import_extra("gymnasium").error.Error, TypeError, ImportError


def _length(name: str, env: Any, requested: int | None) -> int:
  """Returns the control steps of an episode."""
  limit = getattr(getattr(env, "spec", None), "max_episode_steps", None)
  length = limit if requested is None else requested
  if length is None:
    raise ValueError(f"{name} has no time limit: pass one, such as episode_length=1000.")
  validate.positive(episode_length=length)
  return int(length)


def _dt(env: Any) -> float:
  """Returns the seconds of a control step."""
  dt: Any = getattr(getattr(env, "unwrapped", env), "dt", None)
  rate: Any = (getattr(env, "metadata", None) or {}).get("render_fps")
  valid = lambda number: isinstance(number, Real) and 0 < float(number) < math.inf
  return float(dt) if valid(dt) else 1 / float(rate) if valid(rate) else 1.0


def _source_code(source: Any) -> str:
  """Returns how the source is written in a call, for messages."""
  return repr(source) if isinstance(source, str) else "env"
