"""Checkpoints of shorter runs with smaller buffers."""

import chex
import jax
import jax.numpy as jnp
import pytest

from mbrl_jax.buffers import ring
from mbrl_jax.runtime.storage.checkpoint import CheckpointError, Checkpoints


def state(capacity, added=0):
  buffer = ring.init(capacity, {"obs": jnp.zeros(3), "reward": jnp.float32(0)})
  for i in range(added):
    buffer = ring.add(buffer, {"obs": jnp.full(3, float(i)), "reward": jnp.float32(i)})
  return {"buffer": buffer, "net": jnp.arange(4.0), "key": jax.random.key(2)}


@pytest.mark.parametrize("seeds", [0, 2])
def test_buffers_grow_and_nothing_else_changes(tmp_path, seeds):
  batch = lambda tree: jax.tree.map(lambda x: jnp.stack([x] * seeds) if seeds else x, tree)
  saved = state(4, added=3)
  Checkpoints(tmp_path).save(7, batch(saved))
  back = Checkpoints(tmp_path).restore(batch(state(6))).state
  want = batch({**saved, "buffer": ring.grow(saved["buffer"], 6)})
  chex.assert_trees_all_equal(back, want)
  again = Checkpoints(tmp_path).restore(batch(state(4))).state
  chex.assert_trees_all_equal(again, batch(saved))


def test_a_smaller_buffer_and_other_shapes_are_refused(tmp_path):
  Checkpoints(tmp_path).save(7, state(4, added=3))
  with pytest.raises(CheckpointError, match=r"buffer.data.obs: expected float32\[3, 3\]"):
    Checkpoints(tmp_path).restore(state(3))
  other = {**state(6), "net": jnp.arange(5.0)}
  with pytest.raises(CheckpointError, match="net: expected"):
    Checkpoints(tmp_path).restore(other)
