"""State pytrees become named numpy arrays and back."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.runtime.storage import pytree_io


class Pair(NamedTuple):
  left: object
  right: object


def make_tree(seed=0):
  key = jax.random.key(seed)
  half = jnp.asarray(jax.random.normal(key, (3,)), jnp.bfloat16)
  return {"net": Pair(half, [jnp.zeros((0, 2)), jnp.float32(jnp.nan)]), "key": key}


def test_leaves_are_named_by_their_path():
  assert list(pytree_io.named(make_tree())) == ["key", "net.left", "net.right.0", "net.right.1"]
  assert list(pytree_io.named(jnp.ones(2))) == ["value"]


def test_a_tree_is_restored_bit_for_bit():
  tree = make_tree(1)
  back = pytree_io.unflatten(make_tree(2), pytree_io.flatten(tree))
  chex.assert_trees_all_equal_structs(back, tree)
  for path, array in pytree_io.flatten(tree).items():
    other = pytree_io.flatten(back)[path]
    assert (other.dtype, other.tobytes()) == (array.dtype, array.tobytes()), path
  assert jax.random.uniform(back["key"]) == jax.random.uniform(tree["key"])


def test_differences_name_missing_changed_and_extra_leaves():
  expected = pytree_io.describe({"a": np.zeros(2, np.float32), "b": np.zeros(3)})
  found = pytree_io.describe({"b": np.zeros((3, 1)), "c": np.int32(0)})
  assert pytree_io.differences(expected, expected) == []
  assert pytree_io.differences(expected, found) == [
    "a: expected float32[2], not in the checkpoint",
    "b: expected float64[3], found float64[3, 1]",
    "c: not expected, found int32[]",
  ]


def test_keys_of_different_generators_differ():
  fry, other = ({"key": jax.random.key(0, impl=name)} for name in ("threefry2x32", "rbg"))
  assert len(pytree_io.differences(pytree_io.describe(fry), pytree_io.describe(other))) == 1


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), np.zeros((0, 4)), np.float32(3)])
def test_the_checksum_depends_on_the_bytes_only(array):
  array = np.asarray(array)
  assert pytree_io.checksum(array) == pytree_io.checksum(array.copy(order="F"))
  if array.size:
    assert pytree_io.checksum(array) != pytree_io.checksum(array + 1)
