"""The batch layout of a rollout, and its sharding over devices.

A rollout has one row for each slice, candidate and particle, ``[E, N, P/E]``. A
``NamedSharding`` over these three axes distributes the rows over a mesh of devices. It only
determines where arrays are stored: random numbers are drawn as on one device, and XLA
partitions the program and inserts the communication, so results stay the same.

Candidates that do not divide evenly among the devices are padded with copies of the last one,
whose returns are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import Array, Dynamics, Key, Noise

_AXES = {"E": "slices", "N": "candidates", "P": "particles of a slice"}


class RolloutLayout(NamedTuple):
  """The batch axes of one rollout.

  Attributes:
    slices: ``E``.
    candidates: ``N``.
    per_slice: ``P / E``.
    sharding: over ``[E, N, P/E]``, or ``None`` for one device.
  """

  slices: int
  candidates: int
  per_slice: int
  sharding: NamedSharding | None = None

  @property
  def padding(self) -> int:
    """Padding candidates, with which the candidates divide evenly among the devices."""
    return -self.candidates % shard_counts(self.sharding)["N"]

  @property
  def shape(self) -> tuple[int, int, int]:
    """``[E, N, P/E]`` with the padding candidates."""
    return self.slices, self.candidates + self.padding, self.per_slice

  def pad(self, x: Array, axes: str) -> Array:
    """Appends the padding candidates to ``x``, whose leading axes have the letters ``axes``."""
    if not self.padding:
      return x
    axis = axes.index("N")
    last = jax.lax.slice_in_dim(x, self.candidates - 1, self.candidates, axis=axis)
    return jnp.concatenate([x, *[last] * self.padding], axis)

  def shard(self, tree: Any, axes: str) -> Any:
    """Shards leaves, whose leading axes have the letters ``axes``, over the devices."""
    if self.sharding is None:
      return tree
    names = _axis_names(self.sharding)
    spec = PartitionSpec(*(names.get(letter) for letter in axes))
    return jax.lax.with_sharding_constraint(tree, NamedSharding(self.sharding.mesh, spec))

  def draw(
    self, noise: Callable[[Key, tuple[int, ...]], Noise], key: Key, axes: str, **sizes: int
  ) -> Noise:
    """Draws ``noise(key, shape)`` for all rows; padding candidates get copies.

    Args:
      noise: such as ``Dynamics.noise``.
      key: typed key.
      axes: letters of the leading axes.
      **sizes: of letters other than ``E``, ``N`` and ``P``.
    """
    sizes = {"E": self.slices, "N": self.candidates, "P": self.per_slice, **sizes}
    drawn = noise(key, tuple(sizes[letter] for letter in axes))
    return self.shard(jax.tree.map(lambda x: self.pad(x, axes), drawn), axes)


def shard_counts(sharding: NamedSharding | None) -> dict[str, int]:
  """Returns the number of devices over which each of ``E``, ``N`` and ``P`` is split."""
  if sharding is None:
    return dict.fromkeys(_AXES, 1)
  size = lambda names: math.prod(sharding.mesh.shape[name] for name in names)
  return {letter: size(names or ()) for letter, names in _axis_names(sharding).items()}


def check_sharding(
  sharding: NamedSharding | None, dynamics: Dynamics, particles: int
) -> NamedSharding | None:
  """Returns ``sharding`` if it fits the rows.

  Raises:
    ValueError: if not; names the mismatch and the valid choices.
  """
  if sharding is None:
    return None
  if not isinstance(sharding, NamedSharding) or len(sharding.spec) > len(_AXES):
    raise ArgumentError(
      "sharding",
      sharding,
      "must be a jax.sharding.NamedSharding over the rows [E, N, P/E] (slices, candidates, "
      "particles of a slice), see runtime.devices.mesh.row_sharding.",
    )
  if any(kind != AxisType.Auto for kind in sharding.mesh.axis_types):
    raise ValueError(
      f"sharding: the mesh has axis types {sharding.mesh.axis_types}, all must be "
      "AxisType.Auto: make it with runtime.devices.mesh.make_mesh, or pass axis_types."
    )
  counts = shard_counts(sharding)
  for letter, size in {"E": dynamics.slices, "P": particles // dynamics.slices}.items():
    if size % counts[letter]:
      raise ValueError(
        f"sharding: {size} {_AXES[letter]} do not divide among {counts[letter]} devices; "
        f"use a multiple of {counts[letter]}, or shard the candidates, whose number is free."
      )
  return sharding


def check_map_slices(map_slices: bool | None, sharding: NamedSharding | None) -> bool | None:
  """Returns whether to run slices sequentially: False where they are sharded over devices.

  Raises:
    ValueError: ``map_slices`` together with slices sharded over devices.
  """
  if shard_counts(sharding)["E"] == 1:
    return map_slices
  if map_slices:
    raise ArgumentError(
      "map_slices",
      map_slices,
      "runs one slice after the other, but sharding splits slices over devices: choose one of "
      "them.",
    )
  return False


def _axis_names(sharding: NamedSharding) -> dict[str, tuple[str, ...] | None]:
  """Returns the mesh axes over which each of ``E``, ``N`` and ``P`` is split."""
  entries = [*sharding.spec, None, None, None]
  as_tuple = lambda entry: (entry,) if isinstance(entry, str) else entry
  return {letter: as_tuple(entry) for letter, entry in zip(_AXES, entries, strict=False)}
