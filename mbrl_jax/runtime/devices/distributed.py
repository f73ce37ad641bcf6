"""Joins several processes, on one host or many, into one set of devices.

Every process runs the same program and calls ``initialize`` first; then ``jax.devices()``
lists the devices of all processes, and a mesh over them (``runtime.devices.mesh``) shards a
planner over all hosts. Arguments and results that are ``replicated`` over the mesh are equal
on all hosts, so each host can apply the action that it gets.

Training several seeds needs none of this: start the program on each host with a different
``--seed``.
"""

from __future__ import annotations

import jax

from mbrl_jax.ops.validate import ArgumentError

_USAGE = (
  "pass coordinator='address:port' of process 0, processes=their number and index=the index "
  "of this process, from 0"
)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def initialize(
  coordinator: str | None = None,
  processes: int | None = None,
  index: int | None = None,
  *,
  timeout: int = 120,
) -> None:
  """Connects this process to the others; call it before any jax computation.

  Without arguments, jax asks the cluster's scheduler (Slurm, MPI, cloud TPUs).

  Args:
    coordinator: ``"address:port"`` of process 0, the same for all.
    processes: number of processes.
    index: index of this process, from 0.
    timeout: seconds to wait for the others.

  Raises:
    ValueError: missing or invalid arguments; names them and their meaning.
    RuntimeError: another process did not connect in time.
  """
  if coordinator is not None or processes is not None or index is not None:
    host = _coordinator_host(coordinator, processes, index)
    jax.distributed.initialize(
      coordinator,
      processes,
      index,
      # By default jax listens on all interfaces, even if all processes are on this host.
      coordinator_bind_address=coordinator if host in _LOOPBACK else None,
      cluster_detection_method="deactivate",
      initialization_timeout=timeout,
    )
    return
  try:
    jax.distributed.initialize(initialization_timeout=timeout)
  except ValueError as error:
    raise ValueError(
      f"No cluster was found to ask for the processes: {_USAGE} ({error})."
    ) from error


def is_first() -> bool:
  """Returns whether this is process 0, the one that writes files."""
  return jax.process_index() == 0


def _coordinator_host(coordinator: str | None, processes: int | None, index: int | None) -> str:
  """Checks the arguments of ``initialize`` and returns the coordinator's host."""
  arguments = {"coordinator": coordinator, "processes": processes, "index": index}
  if coordinator is None or processes is None or index is None:
    missing = [name for name, value in arguments.items() if value is None]
    raise ValueError(f"initialize: {' and '.join(missing)} missing; {_USAGE}. Got {arguments}.")
  host, colon, port = str(coordinator).rpartition(":")
  if not colon or not port.isdigit():
    raise ArgumentError("coordinator", coordinator, "must be 'address:port' of process 0.")
  if processes < 1 or not 0 <= index < processes:
    text = "must lie between 0 and processes - 1, with {}."
    raise ArgumentError("index", index, text, ("processes", processes))
  return host
