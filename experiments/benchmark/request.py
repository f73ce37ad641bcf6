"""Defines a benchmark request, and starts the workers that take part in it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from experiments.benchmark.peers.sizes import Sizes
from experiments.benchmark.peers.worker import Worker, WorkerError

WORKER = "experiments.benchmark.peers.ours"
PEERS = {
  "mbrl": ("experiments.benchmark.peers.mbrl_lib", ("plan", "fit", "memory")),
  "pytorch_mppi": ("experiments.benchmark.peers.pytorch_mppi", ("mppi",)),
  "hydrax": ("experiments.benchmark.peers.hydrax", ("mjx",)),
  "sb3": ("experiments.benchmark.peers.sb3", ("sac", "train")),
  "sbx": ("experiments.benchmark.peers.sbx", ("sac", "train")),
}
"""Worker module of each peer, and the measurements it takes part in."""
START_TIMEOUT = 120.0
"""Seconds that importing a peer may take."""


@dataclasses.dataclass(frozen=True)
class Request:
  """Settings of a benchmark.

  Attributes:
    sizes: sizes of the jobs with learned models.
    rounds: number of interleaved rounds.
    dtypes: precisions of mbrl_jax's nets.
    envs: tasks for ``env``.
    tasks: tasks for ``envs`` and ``collect``.
    tasks_given: whether ``tasks`` comes from the command line.
    engines: physics engines for ``envs``.
    turn_seconds: approximate seconds of one measurement of ``envs`` and ``collect``.
    peer: a key of ``PEERS``, or ``"none"``.
    peer_python: interpreter in which the peer is installed.
  """

  sizes: Sizes = dataclasses.field(default_factory=Sizes)
  rounds: int = 3
  dtypes: tuple[str, ...] = ("float32",)
  envs: tuple[str, ...] = ()
  tasks: tuple[str, ...] = ()
  tasks_given: bool = False
  engines: tuple[str, ...] = ("mujoco",)
  turn_seconds: float = 0.5
  peer: str = "none"
  peer_python: str = sys.executable

  @contextlib.contextmanager
  def peer_worker(self, what: str) -> Iterator[tuple[str, Worker] | None]:
    """Starts the peer's worker; yields ``(name, worker)``, or ``None`` if it has no part."""
    module, parts = PEERS.get(self.peer, ("", ()))
    if what not in parts:
      yield None
      return
    with Worker(module, self.peer_python) as worker:
      yield worker.call("info", timeout=START_TIMEOUT).get("name", self.peer), worker

  def check_peer(self) -> None:
    """Starts the peer's worker once, so that a missing peer fails before any measurement.

    Raises:
      WorkerError: the interpreter does not start, or the peer is not installed in it.
    """
    if self.peer == "none":
      return
    try:
      with self.peer_worker(PEERS[self.peer][1][0]):
        pass
    except WorkerError as error:
      raise WorkerError(
        f"--peer={self.peer} --peer_python={self.peer_python}: {error}"
      ) from error

  @contextlib.contextmanager
  def systems(
    self, what: str, precisions: tuple[str, ...]
  ) -> Iterator[tuple[dict[str, tuple[Worker, str]], str | None]]:
    """Starts mbrl_jax's worker, one for all precisions, and the peer's.

    Yields:
      ``{name: (worker, dtype)}``, the peer last, and the peer's name or ``None``.
    """
    with contextlib.ExitStack() as stack:
      # One process, because some devices can be held by only one.
      worker = stack.enter_context(Worker(WORKER))
      started = {f"mbrl_jax {dtype}": (worker, dtype) for dtype in precisions}
      peer = stack.enter_context(self.peer_worker(what))
      if peer:
        started[peer[0]] = peer[1], "float32"
      yield started, peer and peer[0]


def seconds(answer: dict[str, Any], what: str, system: str) -> float:
  """Returns the seconds of an answer, if its numbers are finite.

  Raises:
    WorkerError: the job produced a non-finite number, so its time is meaningless.
  """
  if not answer["finite"]:
    raise WorkerError(f"{system} produced a non-finite number in {what!r}.")
  return answer["seconds"]
