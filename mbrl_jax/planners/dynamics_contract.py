"""Checks that what is handed to a rollout keeps the contract of ``types.Dynamics``.

The checks look at structures, shapes and dtypes while the rollout is traced, so nothing of
them is left in the compiled program and nothing is traced twice.

Numbers of 32 and of 64 bits go together (``JAX_ENABLE_X64``): plans and returns have 32, a
state keeps those that each of its leaves begins with, and rewards are added up in their own.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Dynamics, Params, State

_is_none = lambda x: x is None


def strong(tree: Any) -> Any:
  """Returns ``tree`` with arrays that have a dtype of their own, so that none retraces."""
  keep = lambda x: x if is_key(x) else jnp.asarray(x, jnp.result_type(x))
  return jax.tree.map(keep, tree)


def action_dtype(state: State) -> Any:
  """Returns the type in which an action changes no type of a state it is added to.

  That of the state's floats where they have one in common, float32 otherwise.
  """
  types = {jnp.result_type(x) for x in jax.tree.leaves(state) if not is_key(x)}
  floats = [dtype for dtype in types if jnp.issubdtype(dtype, jnp.floating)]
  return floats[0] if len(floats) == 1 else jnp.dtype(jnp.float32)


def check_plans(plans: Array) -> None:
  """Checks that plans are floats ``[N, H, A]``.

  Raises:
    ValueError: if not.
  """
  if jnp.ndim(plans) != 3:
    raise ValueError(f"plans must have axes [N, H, A], got shape {jnp.shape(plans)}.")
  dtype = jnp.result_type(plans)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(
      f"plans must be floats, got {dtype}: use plans.astype(jnp.float32), "
      "for discrete actions too."
    )


def check_params(dynamics: Dynamics, params: Params) -> None:
  """Checks that ``params`` have the slice axis that ``dynamics.params_axes`` promises.

  Raises:
    ValueError: names the first leaf without it.
  """
  try:
    axes = jax.tree.broadcast(dynamics.params_axes, params, is_leaf=_is_none)
  except ValueError as error:
    raise ValueError(
      f"params_axes={dynamics.params_axes!r} does not fit params of structure "
      f"{jax.tree.structure(params)}: it must be a prefix of it, as in_axes of jax.vmap."
    ) from error

  def check(path: Any, axis: int | None, leaf: Any) -> None:
    if axis is None or leaf is None:
      return
    shape = jnp.shape(leaf)
    if not -len(shape) <= axis < len(shape) or shape[axis] != dynamics.slices:
      raise ValueError(
        f"params{jax.tree_util.keystr(path)} has shape {list(shape)}, but params_axes says "
        f"that its axis {axis} is that of the slices, of size {dynamics.slices}: stack one "
        "for each slice, or say None for leaves that all slices share."
      )

  jax.tree_util.tree_map_with_path(check, axes, params, is_leaf=_is_none)


def check_step(state: State, answer: Any) -> tuple[State, Array, Array]:
  """Returns what ``dynamics.step`` answered in ``state``, if it is what it has to be.

  Raises:
    ValueError: says what was returned, what is expected and how to get there.
  """
  if not isinstance(answer, tuple | list) or len(answer) != 3:
    is_sequence = isinstance(answer, tuple | list)
    what = f"{len(answer)} values" if is_sequence else f"one {type(answer).__name__}"
    raise ValueError(
      f"dynamics.step returned {what}, expected three: (next_state, reward, terminated); "
      "a system that never ends has terminated=jnp.array(False)."
    )
  next_state, reward, terminated = answer
  _check_state(state, next_state)
  next_state = jax.tree.map(_as_before, next_state, state)
  _check_scalar("reward", reward, jnp.floating, "float", "jnp.float32")
  _check_scalar("terminated", terminated, jnp.bool_, "bool", "bool")
  return next_state, reward, jnp.asarray(terminated)


def _check_state(expected: Any, found: Any) -> None:
  """Checks that a next state is like the state."""
  before, after = dict(_leaves(expected)), dict(_leaves(found))
  for path in [*before, *(p for p in after if p not in before)]:
    name = "next state" + (f" at {path}" if path else "")
    if path not in after or path not in before:
      what = "lacks" if path not in after else "has, unlike state,"
      raise ValueError(
        f"dynamics.step: the next state {what} the leaf {path or '(a single array)'}; "
        f"it must have the structure of state, leaves {[p or '(one)' for p in before]}."
      )
    if not _are_alike(after[path], before[path]):
      raise ValueError(
        f"dynamics.step: the {name} is {_text(after[path])}, but state has "
        f"{_text(before[path])}: they must be alike; convert the one or the other."
      )
  if jax.tree.structure(expected) != jax.tree.structure(found):
    raise ValueError(
      f"dynamics.step: the next state has the structure {jax.tree.structure(found)}, but "
      f"state has {jax.tree.structure(expected)}: return the same containers."
    )


def _are_alike(found: Any, expected: Any) -> bool:
  """Tells whether shapes and types agree, but for 32 bits in place of 64 or the reverse."""
  if _text(found) == _text(expected):
    return True
  if is_key(found) or is_key(expected) or jnp.shape(found) != jnp.shape(expected):
    return False
  types = jnp.result_type(found), jnp.result_type(expected)
  same_kind = types[0].kind == types[1].kind
  return same_kind and {dtype.itemsize for dtype in types} == {4, 8}


def _as_before(found: Any, expected: Any) -> Any:
  """Returns a leaf in the type that it had in the state before."""
  if _text(found) == _text(expected):
    return found
  return jnp.asarray(found, jnp.result_type(expected))


def _check_scalar(name: str, found: Any, kind: Any, word: str, dtype: str) -> None:
  """Checks that ``found`` is one number of a kind."""
  leaves = _leaves(found)
  alone = len(leaves) == 1 and leaves[0][0] == ""
  if not alone:
    got, fix = f"the structure {jax.tree.structure(found)}", "return one array"
  elif jnp.shape(found):
    single = all(size == 1 for size in jnp.shape(found))
    fix = "drop the axis of size 1, as by [0]" if single else "reduce it, as by .sum()"
    got = _text(found)
  elif not jnp.issubdtype(jnp.result_type(found), kind):
    got, fix = _text(found), f"use {name}.astype({dtype})"
  else:
    return
  raise ValueError(f"dynamics.step: {name} is {got}, expected one {word} of shape []: {fix}.")


def _leaves(tree: Any) -> list[tuple[str, Any]]:
  """Returns the leaves with their paths, ``""`` for a tree that is one array."""
  flat = jax.tree_util.tree_flatten_with_path(tree)[0]
  return [(jax.tree_util.keystr(path), leaf) for path, leaf in flat]


def _text(x: Any) -> str:
  """Writes dtype and shape, as in ``float32[4]``."""
  dtype = x.dtype if is_key(x) else jnp.result_type(x)
  return f"{dtype}[{', '.join(map(str, jnp.shape(x)))}]"


def is_key(x: Any) -> bool:
  """Tells whether ``x`` holds typed keys."""
  return jax.dtypes.issubdtype(getattr(x, "dtype", None), jax.dtypes.prng_key)
