"""Chooses the devices of a run."""

from __future__ import annotations

import jax

from experiments.command_line.cli import UsageError
from mbrl_jax.runtime.devices.mesh import make_mesh, use_cpu_devices


def seed_mesh(seeds: int, devices: int) -> jax.sharding.Mesh | None:
  """Returns the devices that share the seeds, ``None`` for one; on a CPU, cores count.

  Args:
    seeds: number of seeds of the run.
    devices: number of devices.

  Raises:
    UsageError: it does not divide the seeds, or there are fewer devices.
  """
  if devices == 1:
    return None
  if seeds % devices:
    raise UsageError(
      f"--devices={devices} does not divide --seeds={seeds}: each device trains the same "
      "number of seeds."
    )
  use_cpu_devices(devices)
  found = jax.devices()
  if len(found) < devices:
    raise UsageError(f"--devices={devices}, but jax finds {len(found)}: {found}.")
  return make_mesh(seeds=devices, devices=found[:devices])
