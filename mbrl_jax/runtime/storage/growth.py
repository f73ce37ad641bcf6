"""Restores states of shorter runs, whose replay buffers were smaller when saved."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

from mbrl_jax.buffers import ring
from mbrl_jax.buffers.ring import Ring


def as_saved(template: Any, table: dict[str, dict[str, Any]]) -> Any:
  """Returns ``template`` with buffers of the size that they have in a checkpoint.

  Args:
    template: a state.
    table: shapes of the checkpoint's leaves, as returned by ``pytree_io.describe``.
  """

  def fit(path: Any, node: Any) -> Any:
    if not _is_ring(node):
      return node
    first, _ = jax.tree_util.tree_flatten_with_path(node)[0][0]  # of its data
    name = jax.tree_util.keystr((*path, *first), simple=True, separator=".")
    saved, axis = table.get(name, {}).get("shape", []), node.cursor.ndim
    if len(saved) <= axis or saved[axis] >= _capacity(node):
      return node
    cut = partial(jax.lax.slice_in_dim, start_index=0, limit_index=saved[axis], axis=axis)
    return node._replace(data=jax.tree.map(cut, node.data))

  return jax.tree_util.tree_map_with_path(fit, template, is_leaf=_is_ring)


def grown_like(template: Any, state: Any) -> Any:
  """Returns ``state`` with buffers of the size and on the devices of ``template``'s."""

  def grow(like: Any, node: Any) -> Any:
    if not _is_ring(node) or _capacity(node) == _capacity(like):
      return node
    function = partial(ring.grow, capacity=_capacity(like))
    for _ in range(node.cursor.ndim):  # seeds
      function = jax.vmap(function)
    return jax.tree.map(lambda x, y: jax.device_put(x, y.sharding), function(node), like)

  return jax.tree.map(grow, template, state, is_leaf=_is_ring)


def _is_ring(node: Any) -> bool:
  return isinstance(node, Ring)


def _capacity(node: Ring) -> int:
  return jax.tree.leaves(node.data)[0].shape[node.cursor.ndim]
