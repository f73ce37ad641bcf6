"""Adapts Brax environments to ``types.Env``."""

from __future__ import annotations

from typing import Any

from mbrl_jax.envs.adapters.functional_env import FunctionalEnv, flatten, make_functional
from mbrl_jax.ops import validate
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.types import Array, RewardFn, TerminationFn


def from_brax(
  env: Any,
  *,
  reward: RewardFn | None = None,
  terminated: TerminationFn | None = None,
  episode_length: int = 1000,
  action_low: float = -1.0,
  action_high: float = 1.0,
  action_repeat: int = 1,
  parts: tuple[str, ...] | None = None,
  **options: Any,
) -> FunctionalEnv:
  """Makes an ``Env`` of a Brax environment; it runs entirely inside XLA.

  ``Transition.next_obs`` is the true final observation: the environment is used without Brax'
  wrappers, and auto-reset wrappers are refused.

  Args:
    env: a ``brax.envs.Env``, or the name of a registered one, such as ``"ant"``.
    reward: pure ``(obs [O], action [A], next_obs [O]) -> []``, used by the simulator and the
      planner. ``None``: the environment's own reward; algorithms that plan refuse the task.
    terminated: the same for termination; ``None``: the environment's ``done``; plans then
      never terminate, and algorithms that learn from model rollouts refuse the task. If only
      the environment is done, the episode is truncated.
    episode_length: control steps; Brax leaves it to the training program.
    action_low, action_high: bounds, one number or ``[A]``; Brax' environments take -1 to 1.
    action_repeat: steps of the environment in one control step; rewards are summed.
    parts: keys of a dictionary observation to include, by default all, sorted by name.
    **options: for ``brax.envs.get_environment``, such as ``backend="mjx"``.

  Returns:
    The environment.

  Raises:
    ImportError: Brax is not installed.
    ValueError: an unknown name, a wrapper, a part that is not observed.

  Example:
    >>> from mbrl_jax import from_brax
    >>> env = from_brax("fast", episode_length=50)
    >>> env.spec.name, env.spec.obs_dim, env.spec.episode_length
    ('brax:fast', 2, 50)
  """
  name, env = _load(env, options)
  return make_functional(
    env,
    f"brax:{name}",
    reward=reward,
    terminated=terminated,
    episode_length=episode_length,
    action_low=action_low,
    action_high=action_high,
    repeat=action_repeat,
    example=f"from_brax({name!r}",
    parts=parts,
    positions=_positions,
    model=getattr(getattr(env, "sys", None), "mj_model", None),
  )


def _load(env: Any, options: dict[str, Any]) -> tuple[str, Any]:
  """Returns an environment and its name; loads it if ``env`` is a name."""
  if isinstance(env, str):
    envs = import_extra("brax.envs", "brax")
    name = validate.choice("env", env, sorted(envs._envs))
    return name, envs.get_environment(name, **options)
  if options:
    raise ValueError(f"{next(iter(options))!r} is an option for environments given by name.")
  return type(env).__name__, env


def _positions(state: Any) -> Array:
  """Returns the generalised positions ``[Q]``, else the observation ``[O]``."""
  positions = getattr(state.pipeline_state, "q", None)
  return flatten(state.obs) if positions is None else positions
