"""Makes adapted environments by name: ``gymnasium:Pendulum-v1``, ``brax:ant``, ...."""

from __future__ import annotations

from typing import Any

from mbrl_jax.envs.action_noise import ActionNoise
from mbrl_jax.envs.adapters.brax_env import from_brax
from mbrl_jax.envs.adapters.gymnasium_env import from_gymnasium
from mbrl_jax.envs.adapters.playground_env import from_playground
from mbrl_jax.ops import validate
from mbrl_jax.types import Env

_MAKERS = {"brax": from_brax, "gymnasium": from_gymnasium, "playground": from_playground}
NAMES = ("brax:NAME", "gymnasium:ID", "playground:NAME")
"""What such names look like, for messages."""


def is_adapted(name: str) -> bool:
  """Tells the name of an adapted environment from that of a task."""
  kind, found, rest = name.partition(":")
  return bool(found and rest) and kind in _MAKERS


def make_adapted(name: str, physics: str = "auto", **overrides: Any) -> Env:
  """Makes an adapted environment by name.

  Args:
    name: ``"brax:..."``, ``"gymnasium:..."`` or ``"playground:..."``.
    physics: ``"auto"``: they bring their own.
    **overrides: ``action_noise``, and what ``from_brax``, ``from_gymnasium`` or
      ``from_playground`` takes.

  Raises:
    ImportError: the library is not installed; says how to install it.
    ValueError: another physics, or what the adapter refuses.
  """
  validate.choice("physics", physics, ("auto",))
  if "randomise" in overrides:
    text = f"is for tasks of mbrl_jax, not for {name!r}."
    raise validate.ArgumentError("randomise", validate.NO_VALUE, text)
  noise = overrides.pop("action_noise", None)
  kind, _, rest = name.partition(":")
  env = _MAKERS[kind](rest, **overrides)
  return env if noise is None else ActionNoise(env, noise)
