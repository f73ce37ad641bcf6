"""Makes Brax' trainers run on jax 0.10, which removed a function that they call.

Brax 0.14.2, the latest release, calls ``jax.device_put_replicated`` in PPO, SAC and APG.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "i"  # Brax' axis name: one program must not mix two names


@contextlib.contextmanager
def runnable() -> Iterator[None]:
  """Restores ``jax.device_put_replicated`` inside the context, if jax lacks it."""
  if hasattr(jax, "device_put_replicated"):
    yield
    return
  jax.device_put_replicated = replicate
  try:
    yield
  finally:
    del jax.device_put_replicated


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """Replicates ``tree`` on ``devices``, with a leading device axis."""
  sharding = NamedSharding(Mesh(np.array(devices), (_AXIS,)), PartitionSpec(_AXIS))
  copies = lambda x: jax.device_put(jnp.stack([x] * len(devices)), sharding)
  return jax.tree.map(copies, tree)
