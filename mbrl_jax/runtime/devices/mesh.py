"""Lays seeds, slices, candidates and particles out over devices.

A planner over eight devices, each with an eighth of the candidates::

  mesh = make_mesh(candidates=8)
  evaluate = make_evaluate(dynamics, sharding=row_sharding(mesh))
  planner = make_planner(cem(), evaluate, ...)
  everywhere = replicated(mesh)
  plan = jax.jit(planner.plan, in_shardings=everywhere, out_shardings=everywhere)
  params, plan_state = jax.device_put((params, planner.init()), everywhere)
  output, plan_state = plan(params, obs, plan_state, key)

The last but one line saves a second compilation, and moving ``params`` at every step.

Candidates cost least: devices meet once an iteration, at their returns. Particles and slices
meet there too (and under TS1, where particles change slices, at each step). Seeds never
meet::

  mesh = make_mesh(seeds=4)
  step = over_seeds(make_step(algorithm, env, seeds=8 // 4), mesh)
  state, metrics = step(shard_seeds(state, mesh))   # leaves [8, ...], two on each device

XLA sees a CPU as one device, whose cores share single large operations only. Cores become
devices where ``XLA_FLAGS=--xla_force_host_platform_device_count=2`` is set before jax is
imported, or ``use_cpu_devices(2)`` is called before it computes.

Dynamics that call back to the host (``physics="mujoco"``): XLA cannot split a call that it
does not know, so a planner over them steps all rows on every device, to the same result and
without gain. ``over_seeds`` splits the program before XLA sees it, so there each device calls
for its own seeds only.
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
    seeds: devices among which seeds are split.
    slices: those for the members of an ensemble, or randomised models.
    candidates: those for the plans of a search.
    particles: those for the particles of each slice. One of the four may be -1: as many as
      are left.
    devices: the devices; default all, of all processes.

  Returns:
    A mesh with the four axes ``AXES``.

  Raises:
    ValueError: the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else list(devices)
  sizes = {"seeds": seeds, "slices": slices, "candidates": candidates, "particles": particles}
  shape = tuple(_resolve(sizes, len(devices)).values())
  kinds = (AxisType.Auto,) * len(AXES)
  return jax.make_mesh(shape, AXES, axis_types=kinds, devices=devices)


def row_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the layout of a rollout's rows, for ``make_evaluate(sharding=...)``."""
  return NamedSharding(mesh, PartitionSpec("slices", "candidates", "particles"))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the layout of what every device has whole."""
  return NamedSharding(mesh, PartitionSpec())


def shard_seeds(tree: Any, mesh: Mesh) -> Any:
  """Puts arrays with a leading ``[seeds]`` axis on the devices, each its share.

  Args:
    tree: leaves ``[seeds, ...]``, such as a ``TrainState`` of several seeds.
    mesh: with an axis ``seeds`` that divides their number.

  Raises:
    ValueError: a leaf without the axis, or seeds that do not divide among the devices.
  """
  count = mesh.shape["seeds"]
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    shape = jax.numpy.shape(leaf)
    if not shape or shape[0] % count:
      raise ValueError(
        f"Leaf {jax.tree_util.keystr(path) or 'value'} has shape {list(shape)}: its first axis "
        f"must be the seeds, a multiple of the {count} devices among which they are split."
      )
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("seeds")))


def over_seeds(
  function: Callable, mesh: Mesh, *, compiler_options: dict[str, Any] | None = None
) -> Callable:
  """Runs a function of several seeds with each device working on its own.

  Args:
    function: takes and returns leaves with a leading ``[seeds / devices]``, such as
      ``make_step(..., seeds=seeds // devices)``; seeds must not see each other.
    mesh: with an axis ``seeds``.
    compiler_options: for XLA.

  Returns:
    The jitted function of leaves ``[seeds, ...]``, each device's part ``function``.
  """
  spec = PartitionSpec("seeds")
  # Nothing is replicated, and calls to the host do not say so: there is nothing to check.
  split = jax.shard_map(
    function, mesh=mesh, in_specs=spec, out_specs=spec, axis_names={"seeds"}, check_vma=False
  )
  # Said again because XLA lays arrays without elements out as it likes.
  layout = NamedSharding(mesh, spec)
  return jax.jit(
    split, in_shardings=layout, out_shardings=layout, compiler_options=compiler_options
  )


def use_cpu_devices(count: int) -> None:
  """Makes ``count`` devices of the CPU's cores; without effect on other devices.

  Raises:
    RuntimeError: jax has computed already, so that its devices are fixed.
  """
  if jax.config.jax_num_cpu_devices != count:
    jax.config.update("jax_num_cpu_devices", count)


def _resolve(sizes: dict[str, int], count: int) -> dict[str, int]:
  """Replaces a -1 by what is left of ``count`` devices."""
  listed = ", ".join(f"{name}={size}" for name, size in sizes.items())
  free = [name for name, size in sizes.items() if size == -1]
  if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
    raise ValueError(
      f"make_mesh({listed}): sizes are at least 1, and at most one is -1, what is left of "
      f"the {count} devices."
    )
  used = math.prod(size for size in sizes.values() if size != -1)
  if count % used or (not free and used != count):
    what = f"do not divide the {count} devices" if free else f"make {used}, not {count} devices"
    raise ValueError(
      f"make_mesh({listed}): the sizes {what}; there are "
      f"{count} of kind {jax.devices()[0].device_kind!r}, see devices=... for a part of them."
    )
  return {name: count // used if size == -1 else size for name, size in sizes.items()}
