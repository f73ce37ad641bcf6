"""Checks that the inputs of a rollout satisfy the contract of ``types.Dynamics``.

The checks compare structures, shapes and dtypes while the rollout is traced: they add nothing
to the compiled program and cause no second trace.

With ``JAX_ENABLE_X64`` 32-bit and 64-bit numbers may be mixed: plans and returns have 32 bits,
each leaf of a state keeps its initial dtype, and rewards are summed in their own dtype.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.ops.key_stream import is_key
from mbrl_jax.types import Array, Dynamics, Params, State

_is_none = lambda x: x is None


def strongly_typed(tree: Any) -> Any:
  """Returns ``tree`` without weakly typed arrays, which would cause retracing."""
  keep = lambda x: x if is_key(x) else jnp.asarray(x, jnp.result_type(x))
  return jax.tree.map(keep, tree)


def action_dtype(state: State) -> Any:
  """Returns the dtype of actions that leaves the dtypes of ``state`` unchanged.

  It is the dtype of the state's floats if they all share one, else float32.
  """
  dtypes = {jnp.result_type(x) for x in jax.tree.leaves(state) if not is_key(x)}
  floats = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
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
  """Checks that ``params`` have the slice axis that ``dynamics.params_axes`` declares.

  Raises:
    ValueError: names the first leaf without it.
  """
  try:
    axes = jax.tree.broadcast(dynamics.params_axes, params, is_leaf=_is_none)
  except ValueError as error:
    raise ValueError(
      f"params_axes={dynamics.params_axes!r} does not fit params of structure "
      f"{jax.tree.structure(params)}: it must be a prefix of it, like in_axes of jax.vmap."
    ) from error

  def check(path: Any, axis: int | None, leaf: Any) -> None:
    if axis is None or leaf is None:
      return
    shape = jnp.shape(leaf)
    if not -len(shape) <= axis < len(shape) or shape[axis] != dynamics.slices:
      raise ValueError(
        f"params{jax.tree_util.keystr(path)} has shape {list(shape)}, but by params_axes its "
        f"axis {axis} is the slice axis, of size {dynamics.slices}: stack one entry per "
        "slice, or set None for leaves that all slices share."
      )

  jax.tree_util.tree_map_with_path(check, axes, params, is_leaf=_is_none)


def check_step(state: State, output: Any) -> tuple[State, Array, Array]:
  """Returns the output of ``dynamics.step`` in ``state``, if it is valid.

  Raises:
    ValueError: names the output, what is expected and how to fix it.
  """
  if not isinstance(output, tuple | list) or len(output) != 3:
    is_sequence = isinstance(output, tuple | list)
    got = f"{len(output)} values" if is_sequence else f"one {type(output).__name__}"
    raise ValueError(
      f"dynamics.step returned {got}, expected three: (next_state, reward, terminated); "
      "return terminated=jnp.array(False) if the system never terminates."
    )
  next_state, reward, terminated = output
  _check_state(state, next_state)
  next_state = jax.tree.map(_cast_like, next_state, state)
  _check_scalar("reward", reward, jnp.floating, "float", "jnp.float32")
  _check_scalar("terminated", terminated, jnp.bool_, "bool", "bool")
  return next_state, reward, jnp.asarray(terminated)


def _check_state(expected: Any, found: Any) -> None:
  """Checks that a next state has the structure, shapes and dtypes of the state."""
  before, after = dict(_leaves(expected)), dict(_leaves(found))
  for path in [*before, *(p for p in after if p not in before)]:
    name = "next state" + (f" at {path}" if path else "")
    if path not in after or path not in before:
      relation = "lacks" if path not in after else "has, unlike state,"
      raise ValueError(
        f"dynamics.step: the next state {relation} the leaf {path or '(a single array)'}; "
        f"it must have the structure of state, leaves {[p or '(one)' for p in before]}."
      )
    if not _are_compatible(after[path], before[path]):
      raise ValueError(
        f"dynamics.step: the {name} is {_dtype_and_shape(after[path])}, but state has "
        f"{_dtype_and_shape(before[path])}: they must match; convert one of them."
      )
  structures: list[Any] = [jax.tree.structure(found), jax.tree.structure(expected)]
  if structures[0] != structures[1]:
    raise ValueError(
      f"dynamics.step: the next state has the structure {structures[0]}, but "
      f"state has {structures[1]}: return the same containers."
    )


def _are_compatible(found: Any, expected: Any) -> bool:
  """Returns whether shapes and dtypes agree, except for 32 instead of 64 bits or vice versa."""
  if _dtype_and_shape(found) == _dtype_and_shape(expected):
    return True
  if is_key(found) or is_key(expected) or jnp.shape(found) != jnp.shape(expected):
    return False
  dtypes = jnp.result_type(found), jnp.result_type(expected)
  same_kind = dtypes[0].kind == dtypes[1].kind
  return same_kind and {dtype.itemsize for dtype in dtypes} == {4, 8}


def _cast_like(found: Any, expected: Any) -> Any:
  """Returns a leaf in the dtype that it has in the state."""
  if _dtype_and_shape(found) == _dtype_and_shape(expected):
    return found
  return jnp.asarray(found, jnp.result_type(expected))


def _check_scalar(name: str, found: Any, kind: Any, word: str, dtype: str) -> None:
  """Checks that ``found`` is a scalar of a kind."""
  leaves = _leaves(found)
  is_array = len(leaves) == 1 and leaves[0][0] == ""
  if not is_array:
    got, fix = f"the structure {jax.tree.structure(found)}", "return one array"
  elif jnp.shape(found):
    single = all(size == 1 for size in jnp.shape(found))
    fix = "drop the axis of size 1, as by [0]" if single else "reduce it, as by .sum()"
    got = _dtype_and_shape(found)
  elif not jnp.issubdtype(jnp.result_type(found), kind):
    got, fix = _dtype_and_shape(found), f"use {name}.astype({dtype})"
  else:
    return
  raise ValueError(f"dynamics.step: {name} is {got}, expected one {word} of shape []: {fix}.")


def _leaves(tree: Any) -> list[tuple[str, Any]]:
  """Returns the leaves and their paths, ``""`` for a tree that is a single array."""
  flat = jax.tree_util.tree_flatten_with_path(tree)[0]
  return [(jax.tree_util.keystr(path), leaf) for path, leaf in flat]


def _dtype_and_shape(x: Any) -> str:
  """Formats dtype and shape, such as ``float32[4]``."""
  dtype = x.dtype if is_key(x) else jnp.result_type(x)
  return f"{dtype}[{', '.join(map(str, jnp.shape(x)))}]"
