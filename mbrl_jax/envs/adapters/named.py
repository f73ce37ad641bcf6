"""Makes adapted environments by name, such as ``gymnasium:Pendulum-v1`` or ``brax:ant``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.envs.adapters.brax_env import from_brax
from mbrl_jax.envs.adapters.gymnasium_env import from_gymnasium
from mbrl_jax.envs.adapters.playground_env import from_playground
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

_MAKERS: dict[str, Callable[..., Env]] = {
  "brax": from_brax,
  "gymnasium": from_gymnasium,
  "playground": from_playground,
}
NAMES = ("brax:NAME", "gymnasium:ID", "playground:NAME")
"""Patterns of such names, for messages."""


def is_adapted(name: str) -> bool:
  """Returns whether ``name`` is that of an adapted environment."""
  library, separator, rest = name.partition(":")
  return bool(separator and rest) and library in _MAKERS


def make_adapted(name: str, physics: str = "auto", **overrides: Any) -> Env:
  """Makes an adapted environment by name.

  Args:
    name: ``"brax:..."``, ``"gymnasium:..."`` or ``"playground:..."``.
    physics: ``"auto"``, because they have their own.
    **overrides: ``action_noise``, and the arguments of ``from_brax``, ``from_gymnasium`` or
      ``from_playground``.

  Raises:
    ImportError: the library is not installed; names the extra.
    ValueError: another physics, or an argument that the adapter refuses.
  """
  validate.choice("physics", physics, ("auto",))
  if "randomise" in overrides:
    text = f"is for tasks of mbrl_jax, not for {name!r}."
    raise validate.ArgumentError("randomise", validate.NO_VALUE, text)
  noise = overrides.pop("action_noise", None)
  library, _, rest = name.partition(":")
  env = _MAKERS[library](rest, **overrides)
  return env if noise is None else ActionNoise(env, noise)
