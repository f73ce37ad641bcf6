"""Lets Brax' trainers run on jax 0.10, which has dropped a function that they call.

Brax 0.14.2, the newest, calls ``jax.device_put_replicated`` in PPO, SAC and APG.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "i"  # Brax' own name for it: one program must not mix two


@contextlib.contextmanager
def runnable() -> Iterator[None]:
  """Puts the function in its place while Brax trains, if jax has it no more."""
  if hasattr(jax, "device_put_replicated"):
    yield
    return
  jax.device_put_replicated = replicate
  try:
    yield
  finally:
    del jax.device_put_replicated


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """Returns ``tree`` with a leading axis over ``devices``, a copy on each."""
  sharding = NamedSharding(Mesh(np.array(devices), (_AXIS,)), PartitionSpec(_AXIS))
  copies = lambda x: jax.device_put(jnp.stack([x] * len(devices)), sharding)
  return jax.tree.map(copies, tree)
