"""Converts a state pytree to named numpy arrays and back, bit for bit."""

from __future__ import annotations

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.key_stream import is_key

Leaves = dict[str, np.ndarray]


def named(tree: Any) -> dict[str, Any]:
  """Returns the leaves of ``tree`` by their dotted path, in traversal order."""
  pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(p, simple=True, separator=".") or "value": x for p, x in pairs}


def flatten(tree: Any) -> Leaves:
  """Copies the leaves of ``tree`` to the host; typed keys become their raw words.

  Example:
    >>> import jax.numpy as jnp
    >>> from mbrl_jax.runtime.storage import pytree_io
    >>> pytree_io.flatten({"net": {"w": jnp.ones(2)}})
    {'net.w': array([1., 1.], dtype=float32)}
  """
  words = {k: jax.random.key_data(x) if is_key(x) else x for k, x in named(tree).items()}
  return {k: np.asarray(x) for k, x in jax.device_get(words).items()}


def describe(tree: Any) -> dict[str, dict[str, Any]]:
  """Returns ``{path: {"shape", "dtype"}}``; each key implementation has its own dtype."""
  return {
    k: {"shape": list(np.shape(x)), "dtype": str(x.dtype if hasattr(x, "dtype") else type(x))}
    for k, x in named(tree).items()
  }


def checksum(array: np.ndarray) -> int:
  """Returns the CRC-32 of an array's bytes."""
  return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def unflatten(template: Any, leaves: Leaves) -> Any:
  """Returns ``template`` with its leaves replaced, on the template's devices.

  Args:
    template: a state of the same structure; its values are ignored.
    leaves: arrays by path as returned by ``flatten``, already checked.
  """

  def place(path: str, leaf: Any) -> Any:
    value = leaves[path]
    if is_key(leaf):
      return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array):
      return jax.device_put(value, leaf.sharding)
    return value

  placed = [place(path, leaf) for path, leaf in named(template).items()]
  return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(template), placed)


def differences(expected: dict[str, dict], found: dict[str, dict]) -> list[str]:
  """Returns one message for each leaf that is missing, unexpected or of another type."""

  def text(leaf: dict[str, Any]) -> str:
    return f"{leaf['dtype']}{leaf['shape']}"

  lines = []
  for path, leaf in expected.items():
    if path not in found:
      lines.append(f"{path}: expected {text(leaf)}, not in the checkpoint")
    elif text(leaf) != text(found[path]):
      lines.append(f"{path}: expected {text(leaf)}, found {text(found[path])}")
  extra = [path for path in found if path not in expected]
  return lines + [f"{path}: not expected, found {text(found[path])}" for path in extra]
