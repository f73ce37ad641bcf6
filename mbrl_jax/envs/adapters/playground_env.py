"""Makes an ``Env`` of a MuJoCo Playground environment."""

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
  """Makes an ``Env`` of a MuJoCo Playground environment, all inside XLA.

  ``Transition.next_obs`` is the true final observation: the environment is used as it is,
  without the wrappers for training, and those that reset by themselves are refused.

  Args:
    env: an environment, or the name of a registered one, such as ``"CartpoleBalance"``.
    reward: pure ``(obs [O], action [A], next_obs [O]) -> []``, the reward of simulator and
      planner alike. ``None``: the environment's own, which algorithms that plan refuse.
    terminated: the same for termination; ``None``: the environment's ``done``; plans then
      go on for ever, and algorithms that learn from what their model imagines refuse the
      task. Where only the environment is done the episode is truncated.
    episode_length: control steps, by default those of its config.
    action_low, action_high: bounds, one number or ``[A]``; Playground's environments take
      -1 to 1.
    parts: names of a dictionary of observations to show, such as ``("state",)``; by
      default all, sorted by name.
    **overrides: of the environment's config, by name only. ``impl`` is ``"jax"`` if it is not
      given: the default of Playground, Warp, needs an NVIDIA GPU to be of use.

  Returns:
    The environment. Its control step is ``action_repeat`` of its config long.

  Raises:
    ImportError: Playground is not installed; says how to install it.
    ValueError: an unknown name or field of the config, a wrapper, a part that is not
      observed.
  """
  name = env if isinstance(env, str) else type(env).__name__
  if isinstance(env, str):
    env = _load(env, overrides)
  elif overrides:
    raise ValueError(f"{next(iter(overrides))!r} is an override of environments by name.")
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


def _load(name: str, overrides: dict[str, Any]) -> Any:
  """Loads a registered environment."""
  registry = import_extra("mujoco_playground", "playground").registry
  validate.choice("env", name, sorted(registry.ALL_ENVS))
  known = registry.get_default_config(name)
  fixed = {"impl": "jax"} if "impl" in known else {}
  for field in overrides:
    validate.known(field, sorted(known))
  return registry.load(name, config_overrides={**fixed, **overrides})


def _positions(state: Any) -> Array:
  return state.data.qpos
