"""Joins several processes, on one host or many, to one set of devices.

Every process runs the same program and calls ``initialize`` first; then ``jax.devices()``
lists the devices of all, and a mesh over them (``runtime.mesh``) spreads a planner over all
hosts. Arguments and results that are ``replicated`` over the mesh are equal everywhere, so
each host can act on what it gets.

Training several seeds needs none of this: start the program on each host with a ``--seed`` of
its own.
"""

from __future__ import annotations

import jax

from mbrl_jax.ops.validate import ArgumentError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def initialize(
  coordinator: str | None = None,
  processes: int | None = None,
  index: int | None = None,
  *,
  timeout: int = 120,
) -> None:
  """Joins this process to the others; must come before anything computes.

  With no arguments, jax asks the cluster's scheduler (Slurm, MPI, cloud TPUs).

  Args:
    coordinator: ``"address:port"`` of process 0, the same for all.
    processes: how many there are.
    index: which of them this is, from 0.
    timeout: seconds to wait for the others.

  Raises:
    ValueError: arguments that are missing or do not fit; says which and what they are.
    RuntimeError: another process did not come in time.
  """
  given = {"coordinator": coordinator, "processes": processes, "index": index}
  if any(value is not None for value in given.values()):
    host = _check(given)
    jax.distributed.initialize(
      coordinator,
      processes,
      index,
      # By itself jax listens on all interfaces, also where nobody else is to come.
      coordinator_bind_address=coordinator if host in _LOOPBACK else None,
      cluster_detection_method="deactivate",
      initialization_timeout=timeout,
    )
    return
  try:
    jax.distributed.initialize(initialization_timeout=timeout)
  except ValueError as error:
    raise ValueError(
      "No cluster was found that says which process this is: give "
      "coordinator='address:port' of process 0, processes=how many there are and index=which "
      f"of them this is, from 0 ({error})."
    ) from error


def is_first() -> bool:
  """Tells whether this process is the one that writes files, process 0."""
  return jax.process_index() == 0


def _check(given: dict[str, str | int | None]) -> str:
  """Returns the coordinator's host."""
  missing = [name for name, value in given.items() if value is None]
  if missing:
    raise ValueError(
      f"initialize: {' and '.join(missing)} missing; several processes need coordinator="
      "'address:port' of process 0, processes=how many there are and index=which of them "
      f"this is, from 0. Got {given}."
    )
  coordinator, processes, index = given.values()
  host, colon, port = str(coordinator).rpartition(":")
  if not colon or not port.isdigit():
    raise ArgumentError("coordinator", coordinator, "must be 'address:port' of process 0.")
  if processes < 1 or not 0 <= index < processes:
    text = "must lie between 0 and processes - 1, with {}."
    raise ArgumentError("index", index, text, ("processes", processes))
  return host
