"""Adapts MuJoCo Playground environments to ``types.Env``."""

from __future__ import annotations

from typing import Any

from mbrl_jax.envs.adapters.functional_env import FunctionalEnv, make_functional
from mbrl_jax.ops import validate
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.types import Array, RewardFn, TerminationFn


def from_playground(
  env: Any,
  *,
  reward: RewardFn | None = None,
  terminated: TerminationFn | None = None,
  episode_length: int | None = None,
  action_low: float = -1.0,
  action_high: float = 1.0,
  parts: tuple[str, ...] | None = None,
  **overrides: Any,
) -> FunctionalEnv:
  """Makes an ``Env`` of a MuJoCo Playground environment; it runs entirely inside XLA.

  ``Transition.next_obs`` is the true final observation: the environment is used without the
  training wrappers, and auto-reset wrappers are refused.

  Args:
    env: an environment, or the name of a registered one, such as ``"CartpoleBalance"``.
    reward: pure ``(obs [O], action [A], next_obs [O]) -> []``, used by the simulator and the
      planner. ``None``: the environment's own reward; algorithms that plan refuse the task.
    terminated: the same for termination; ``None``: the environment's ``done``; plans then
      never terminate, and algorithms that learn from model rollouts refuse the task. If only
      the environment is done, the episode is truncated.
    episode_length: control steps, by default those of its config.
    action_low, action_high: bounds, one number or ``[A]``; Playground's environments take
      -1 to 1.
    parts: keys of a dictionary observation to include, such as ``("state",)``; by default all,
      sorted by name.
    **overrides: fields of the environment's config, for environments given by name. ``impl`` is
      ``"jax"`` by default: Playground's default, Warp, is useful on NVIDIA GPUs only.

  Returns:
    The environment. Its control step is ``action_repeat`` steps, as in its config.

  Raises:
    ImportError: Playground is not installed; names the extra.
    ValueError: an unknown name or field of the config, a wrapper, a part that is not
      observed.

  Example (needs the extra ``playground``)::

    env = from_playground("CartpoleBalance", episode_length=200, action_repeat=2)
  """
  name, env = _load(env, overrides)
  config = getattr(env, "_config", {})
  repeat = int(config.get("action_repeat", 1))
  length = config.get("episode_length", 1000) // repeat
  return make_functional(
    env,
    f"playground:{name}",
    reward=reward,
    terminated=terminated,
    episode_length=length if episode_length is None else episode_length,
    action_low=action_low,
    action_high=action_high,
    repeat=repeat,
    example=f"from_playground({name!r}",
    parts=parts,
    positions=_positions,
    model=env.mj_model,
  )


def _load(env: Any, overrides: dict[str, Any]) -> tuple[str, Any]:
  """Returns an environment and its name; loads it if ``env`` is a name."""
  if not isinstance(env, str):
    if overrides:
      field = next(iter(overrides))
      raise ValueError(f"{field!r} is an override for environments given by name.")
    return type(env).__name__, env
  registry = import_extra("mujoco_playground", "playground").registry
  validate.choice("env", env, sorted(registry.ALL_ENVS))
  known = registry.get_default_config(env)
  fixed = {"impl": "jax"} if "impl" in known else {}
  for field in overrides:
    validate.known(field, sorted(known))
  return env, registry.load(env, config_overrides={**fixed, **overrides})


def _positions(state: Any) -> Array:
  return state.data.qpos
