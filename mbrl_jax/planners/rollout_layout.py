"""The rows of a rollout, and on which devices they lie.

A rollout has one row for each slice, candidate and particle, ``[E, N, P/E]``. A
``NamedSharding`` over these three axes spreads the rows over a mesh of devices. It only
says where numbers lie: random numbers are drawn as if there were one device, and XLA
partitions the program and adds what communication it needs, so results stay the same.

Candidates that do not divide among the devices are filled up with copies of the last one,
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
from mbrl_jax.types import Array, Dynamics, Key

_AXES = {"E": "slices", "N": "candidates", "P": "particles of a slice"}


class RolloutLayout(NamedTuple):
  """The rows of one rollout.

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
  def spare(self) -> int:
    """Copies that make the candidates divide among the devices."""
    return -self.candidates % shards(self.sharding)["N"]

  @property
  def shape(self) -> tuple[int, int, int]:
    """``[E, N, P/E]`` with the spare candidates."""
    return self.slices, self.candidates + self.spare, self.per_slice

  def fill(self, x: Array, axes: str) -> Array:
    """Appends the spare candidates to ``x``, whose leading axes have these letters."""
    if not self.spare:
      return x
    axis = axes.index("N")
    last = jax.lax.slice_in_dim(x, self.candidates - 1, self.candidates, axis=axis)
    return jnp.concatenate([x, *[last] * self.spare], axis)

  def place(self, tree: Any, axes: str) -> Any:
    """Lays leaves, whose leading axes have the letters ``axes``, on the devices."""
    if self.sharding is None:
      return tree
    names = _axis_names(self.sharding)
    spec = PartitionSpec(*(names.get(letter) for letter in axes))
    return jax.lax.with_sharding_constraint(tree, NamedSharding(self.sharding.mesh, spec))

  def draw(self, noise: Callable, key: Key, axes: str, **sizes: int) -> Any:
    """Draws ``noise(key, shape)`` for all rows; spare ones get copies.

    Args:
      noise: such as ``Dynamics.noise``.
      key: typed key.
      axes: letters of the leading axes.
      **sizes: those of letters other than ``E``, ``N`` and ``P``.
    """
    sizes = {"E": self.slices, "N": self.candidates, "P": self.per_slice, **sizes}
    drawn = noise(key, tuple(sizes[letter] for letter in axes))
    return self.place(jax.tree.map(lambda x: self.fill(x, axes), drawn), axes)


def shards(sharding: NamedSharding | None) -> dict[str, int]:
  """Returns among how many devices each of the axes ``E``, ``N`` and ``P`` is split."""
  if sharding is None:
    return dict.fromkeys(_AXES, 1)
  size = lambda names: math.prod(sharding.mesh.shape[name] for name in names)
  return {letter: size(names or ()) for letter, names in _axis_names(sharding).items()}


def check_sharding(
  sharding: NamedSharding | None, dynamics: Dynamics, particles: int
) -> NamedSharding | None:
  """Returns ``sharding`` if rows can be laid out so.

  Raises:
    ValueError: names what cannot be, and what would be right.
  """
  if sharding is None:
    return None
  if not isinstance(sharding, NamedSharding) or len(sharding.spec) > len(_AXES):
    raise ArgumentError(
      "sharding",
      sharding,
      "must be a jax.sharding.NamedSharding over the rows [E, N, P/E] (slices, candidates, "
      "particles of a slice), see runtime.mesh.row_sharding.",
    )
  if any(kind != AxisType.Auto for kind in sharding.mesh.axis_types):
    raise ValueError(
      f"sharding: the mesh has axis types {sharding.mesh.axis_types}, all must be "
      "AxisType.Auto: make it with runtime.mesh.make_mesh, or pass axis_types."
    )
  parts = shards(sharding)
  for letter, size in {"E": dynamics.slices, "P": particles // dynamics.slices}.items():
    if size % parts[letter]:
      raise ValueError(
        f"sharding: {size} {_AXES[letter]} do not divide among {parts[letter]} devices; "
        f"use a multiple of {parts[letter]}, or shard the candidates, which may be any number."
      )
  return sharding


def check_map_slices(map_slices: bool | None, sharding: NamedSharding | None) -> bool | None:
  """Returns whether to run slices one after the other: not where they are on devices.

  Raises:
    ValueError: asked for both.
  """
  if shards(sharding)["E"] == 1:
    return map_slices
  if map_slices:
    raise ArgumentError(
      "map_slices",
      map_slices,
      "runs one slice after the other, but sharding spreads slices over devices: choose one of "
      "them.",
    )
  return False


def _axis_names(sharding: NamedSharding) -> dict[str, tuple[str, ...] | None]:
  """Returns the mesh axes over which each of the axes ``E``, ``N`` and ``P`` is split."""
  entries = [*sharding.spec, None, None, None]
  as_tuple = lambda entry: (entry,) if isinstance(entry, str) else entry
  return {letter: as_tuple(entry) for letter, entry in zip(_AXES, entries, strict=False)}
