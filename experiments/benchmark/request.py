"""What a benchmark was asked to measure, and who takes part."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from experiments.benchmark.peers.sizes import Sizes
from experiments.benchmark.peers.worker import Worker, WorkerError

OURS = "experiments.benchmark.peers.ours"
PEERS = {
  "mbrl": ("experiments.benchmark.peers.mbrl_lib", ("plan", "fit", "memory")),
  "pytorch_mppi": ("experiments.benchmark.peers.pytorch_mppi", ("mppi",)),
  "hydrax": ("experiments.benchmark.peers.hydrax", ("mjx",)),
  "sb3": ("experiments.benchmark.peers.sb3", ("sac", "train")),
  "sbx": ("experiments.benchmark.peers.sbx", ("sac", "train")),
}
"""Modules of the peers' workers, and what they take part in."""
PATIENCE = 120.0
"""Seconds that a peer may take to be imported."""


@dataclasses.dataclass(frozen=True)
class Request:
  """What the command line asks for.

  Attributes:
    sizes: of the jobs with learned models.
    rounds: times that everybody takes a turn.
    dtypes: precisions of our planning step.
    envs: tasks to step with ``env``.
    tasks: tasks to step with ``envs``.
    chosen: whether the command line named them.
    engines: what ``envs`` steps them on.
    turn_seconds: about how long a turn of ``envs`` takes.
    peer: a key of ``PEERS``, or ``"none"``.
    peer_python: interpreter in which the peer is installed.
  """

  sizes: Sizes = dataclasses.field(default_factory=Sizes)
  rounds: int = 3
  dtypes: tuple[str, ...] = ("float32",)
  envs: tuple[str, ...] = ()
  tasks: tuple[str, ...] = ()
  chosen: bool = False
  engines: tuple[str, ...] = ("mujoco",)
  turn_seconds: float = 0.5
  peer: str = "none"
  peer_python: str = sys.executable

  @contextlib.contextmanager
  def peer_worker(self, what: str) -> Iterator[tuple[str, Worker] | None]:
    """Starts the peer's worker, ``(name, worker)``, if it takes part in ``what``."""
    module, parts = PEERS.get(self.peer, ("", ()))
    if what not in parts:
      yield None
      return
    with Worker(module, self.peer_python) as worker:
      yield worker.ask("info", timeout=PATIENCE).get("name", self.peer), worker

  def check_peer(self) -> None:
    """Starts the peer's worker once, so that one that is missing is told before any work.

    Raises:
      WorkerError: the interpreter is none, or lacks the peer.
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
  def entrants(
    self, what: str, precisions: tuple[str, ...]
  ) -> Iterator[tuple[dict[str, tuple[Worker, str]], str | None]]:
    """Starts our worker, one for all precisions, and the peer's.

    Yields:
      Name to ``(worker, dtype)``, the peer last, and the peer's name or ``None``.
    """
    with contextlib.ExitStack() as stack:
      # One process, because some devices can be held by one only.
      ours = stack.enter_context(Worker(OURS))
      started = {f"mbrl_jax {dtype}": (ours, dtype) for dtype in precisions}
      found = stack.enter_context(self.peer_worker(what))
      if found:
        started[found[0]] = found[1], "float32"
      yield started, found and found[0]


def seconds(answer: dict[str, Any], what: str, system: str) -> float:
  """Returns the time of an answer whose numbers are sound.

  Raises:
    WorkerError: the job produced a non-finite number; its time means nothing.
  """
  if not answer["finite"]:
    raise WorkerError(f"{system} produced a non-finite number in {what!r}.")
  return answer["seconds"]
