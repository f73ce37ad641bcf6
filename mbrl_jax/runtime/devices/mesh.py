"""Shards seeds, slices, candidates and particles over devices.

A planner on eight devices, each with an eighth of the candidates::

  mesh = make_mesh(candidates=8)
  evaluate = make_evaluate(dynamics, sharding=row_sharding(mesh))
  planner = make_planner(cem(), evaluate, ...)
  layout = replicated(mesh)
  plan = jax.jit(planner.plan, in_shardings=layout, out_shardings=layout)
  params, plan_state = jax.device_put((params, planner.init()), layout)
  output, plan_state = plan(params, obs, plan_state, key)

``jax.device_put`` avoids a second compilation, and a transfer of ``params`` at every step.

Sharding candidates costs least: devices communicate once an iteration, their returns.
Particles and slices communicate there too (and under TS1, where particles change slices, at
each step). Seeds never communicate::

  mesh = make_mesh(seeds=4)
  step = over_seeds(make_step(algorithm, env, seeds=8 // 4), mesh)
  state, metrics = step(shard_seeds(state, mesh))   # leaves [8, ...], two on each device

XLA treats a CPU as one device, whose cores share only single large operations. To split it
into devices, set ``XLA_FLAGS=--xla_force_host_platform_device_count=2`` before jax is
imported, or call ``use_cpu_devices(2)`` before the first computation.

Dynamics that call back to the host (``physics="mujoco"``): XLA cannot partition a callback,
so a planner over them steps all rows on every device, with the same result and no speed-up.
``over_seeds`` partitions the program before XLA sees it, so that each device calls back for
its own seeds only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("seeds", "slices", "candidates", "particles")
"""Names of a mesh's axes."""


def make_mesh(
  *,
  seeds: int = 1,
  slices: int = 1,
  candidates: int = 1,
  particles: int = 1,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """Makes a mesh of devices.

  Args:
    seeds: number of devices over which seeds are sharded.
    slices: the same for the members of an ensemble, or randomised models.
    candidates: the same for the candidate plans of a search.
    particles: the same for the particles of each slice. One of the four may be -1: all
      remaining devices.
    devices: the devices; default all, of all processes.

  Returns:
    A mesh with the four axes ``AXES``.

  Raises:
    ValueError: the sizes do not multiply to the number of devices.

  Example:
    >>> make_mesh(candidates=-1, devices=jax.devices()[:1]).axis_names
    ('seeds', 'slices', 'candidates', 'particles')
  """
  devices = jax.devices() if devices is None else list(devices)
  sizes = {"seeds": seeds, "slices": slices, "candidates": candidates, "particles": particles}
  shape = tuple(_resolve(sizes, len(devices)).values())
  kinds = (AxisType.Auto,) * len(AXES)
  return jax.make_mesh(shape, AXES, axis_types=kinds, devices=devices)


def row_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of a rollout's rows, for ``make_evaluate(sharding=...)``.

  Example:
    >>> tuple(row_sharding(make_mesh(devices=jax.devices()[:1])).spec)
    ('slices', 'candidates', 'particles')
  """
  return NamedSharding(mesh, PartitionSpec("slices", "candidates", "particles"))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays that every device holds in full.

  Example:
    >>> replicated(make_mesh(devices=jax.devices()[:1])).is_fully_replicated
    True
  """
  return NamedSharding(mesh, PartitionSpec())


def shard_seeds(tree: Any, mesh: Mesh) -> Any:
  """Shards arrays with a leading ``[seeds]`` axis over the devices.

  Args:
    tree: leaves ``[seeds, ...]``, such as a ``TrainState`` of several seeds.
    mesh: with an axis ``seeds`` that divides their number.

  Raises:
    ValueError: a leaf without the axis, or seeds that do not divide among the devices.

  Example:
    >>> mesh = make_mesh(seeds=1, devices=jax.devices()[:1])
    >>> tuple(shard_seeds({"w": jax.numpy.zeros((4, 2))}, mesh)["w"].sharding.spec)
    ('seeds',)
  """
  count = mesh.shape["seeds"]
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    shape = jax.numpy.shape(leaf)
    if not shape or shape[0] % count:
      raise ValueError(
        f"Leaf {jax.tree_util.keystr(path) or 'value'} has shape {list(shape)}: its first axis "
        f"must be the seeds, a multiple of the {count} devices over which they are sharded."
      )
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("seeds")))


def over_seeds(
  function: Callable[..., Any],
  mesh: Mesh,
  *,
  compiler_options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
  """Maps a function of several seeds over devices, each with its own seeds.

  Args:
    function: takes and returns leaves with a leading ``[seeds / devices]``, such as
      ``make_step(..., seeds=seeds // devices)``; seeds must not depend on each other.
    mesh: with an axis ``seeds``.
    compiler_options: for XLA.

  Returns:
    The jitted function of leaves ``[seeds, ...]``, which calls ``function`` on each device.

  Example:
    >>> mesh = make_mesh(seeds=1, devices=jax.devices()[:1])
    >>> over_seeds(lambda x: x.sum(1), mesh)(jax.numpy.ones((4, 3))).tolist()
    [3.0, 3.0, 3.0, 3.0]
  """
  spec = PartitionSpec("seeds")
  # check_vma=False: nothing is replicated, and callbacks do not declare how they vary.
  split = jax.shard_map(
    function, mesh=mesh, in_specs=spec, out_specs=spec, axis_names={"seeds"}, check_vma=False
  )
  # Set again, because XLA may choose another layout for arrays without elements.
  layout = NamedSharding(mesh, spec)
  return jax.jit(
    split, in_shardings=layout, out_shardings=layout, compiler_options=compiler_options
  )


def use_cpu_devices(count: int) -> None:
  """Splits the CPU into ``count`` devices; without effect on other devices.

  Raises:
    RuntimeError: jax has already computed, so that its devices are fixed.
  """
  current = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]  # added at run time
  if current != count:
    jax.config.update("jax_num_cpu_devices", count)


def _resolve(sizes: dict[str, int], count: int) -> dict[str, int]:
  """Replaces a -1 by the remaining devices out of ``count``."""
  listed = ", ".join(f"{name}={size}" for name, size in sizes.items())
  free = [name for name, size in sizes.items() if size == -1]
  if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
    raise ValueError(
      f"make_mesh({listed}): sizes must be at least 1, and at most one -1 (the rest of "
      f"the {count} devices)."
    )
  used = math.prod(size for size in sizes.values() if size != -1)
  if count % used or (not free and used != count):
    what = f"do not divide the {count} devices" if free else f"make {used}, not {count} devices"
    raise ValueError(
      f"make_mesh({listed}): the sizes {what} of kind "
      f"{jax.devices()[0].device_kind!r}; pass devices=... to use only some of them."
    )
  return {name: count // used if size == -1 else size for name, size in sizes.items()}
