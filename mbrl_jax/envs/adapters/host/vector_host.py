"""Distributes the rows of a batch over this process and worker processes.

Rows of one batch are stepped in parallel, with one message pair for each process and control
step. A row goes to the process that holds an instance in its state; a new episode goes where
the row's previous one was, or to the process with the fewest rows of the batch. The process
that steps a row does not affect the result, see ``host``.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from mbrl_jax.envs.adapters.host.host import Host
from mbrl_jax.envs.adapters.host.host_thread import HostThread, call_directly
from mbrl_jax.envs.adapters.host.step_data import (
  InputBatch,
  OutputBatch,
  empty_outputs,
  state_token,
)
from mbrl_jax.envs.adapters.host.worker_process import WorkerProcess
from mbrl_jax.envs.adapters.host.worker_server import GRACE_PERIOD, WorkerSetup, run_job
from mbrl_jax.ops.env_failure import EnvironmentFailed, environment_error, tag_failures

LOCAL = 0
"""Worker number of this process; worker processes have 1, 2 and so on."""
_ROWS_PER_WORKER = 8  # from 16 rows on, two processes are faster than one for MuJoCo steps
_TOKENS_PER_ROW = 4  # states whose worker is remembered, for each row of the largest batch


class VectorHost:
  """Resets and steps batches of rows.

  Attributes:
    local: the host in this process; its first instance describes all of them.
    max_rows: largest number of rows; ``None``: no limit.
  """

  def __init__(
    self,
    name: str,
    make: Callable[[], Any],
    *,
    packed: bytes | None,
    workers: int | None,
    single: bool,
    timeout: float | None,
    **settings: Any,
  ):
    """Makes the first instance, in this process.

    Args:
      name: of the environment.
      make: makes an instance.
      packed: ``make`` pickled for another process; ``None``: it cannot be used in another.
      workers: processes to step rows in; 0: this one. ``None``: this one for few rows, else
        one for each core.
      single: ``make`` returns the same instance each time.
      timeout: seconds that an instance may take to answer.
      **settings: for ``Host``.

    Raises:
      ValueError: a space that cannot be adapted.
      EnvironmentFailed: making or resetting the instance fails.
    """
    thread = HostThread(timeout)
    self._in_thread: Callable[..., Any]
    if timeout is None:
      self._in_thread, call = thread.call, call_directly  # a whole job at once
    else:
      self._in_thread, call = _call, lambda operation, function: thread.call(function)
    self.local = self._in_thread(Host, name, make, call, single=single, **settings)
    self.max_rows = 1 if single else None
    self._workers = workers if packed is not None else 0
    own = {k: np.asarray(v) if hasattr(v, "__array__") else v for k, v in settings.items()}
    self._setup = WorkerSetup(packed or b"", timeout, {"name": name, "single": False, **own})
    self._processes: dict[int, WorkerProcess] = {}
    self._worker_of: OrderedDict[int, int] = OrderedDict()  # by token
    self._capacity = 0
    self._lock = threading.Lock()
    weakref.finalize(self, _end, self._processes)

  @tag_failures
  def reset(self, wanted: Any, seeds: Any, ended: Any) -> tuple[np.ndarray, ...]:
    """Starts episodes.

    Args:
      wanted: which rows to reset ``[...]`` bool; the others are not touched.
      seeds: of the episodes ``[...]`` uint32.
      ended: tokens of the states that are no longer needed ``[..., 2]``.

    Returns:
      Tokens ``[..., 2]``, observations ``[..., O]`` and poses ``[..., Q]``.
    """
    batch, which = np.shape(wanted), np.flatnonzero(wanted)
    seeds, ended = np.ravel(seeds), ended.reshape(-1, 2)
    out = self._empty(len(seeds), 0)
    columns = out.token, out.obs, out.pose
    with self._lock:
      self._reserve(len(which))
      first = np.array([state_token(seed) for seed in seeds[which]], np.uint32).reshape(-1, 2)
      keys = list(zip(_as_ints(first), _as_ints(ended[which]), strict=True))
      parts = self._assign(which, keys, len(seeds))
      results = self._run("reset", {w: (seeds[i], ended[i]) for w, i in parts.items()})
      for worker, index in parts.items():
        for column, values in zip(columns, results[worker], strict=True):
          column[index] = values
        self._update_workers(worker, ended[index], out.token[index])
    return tuple(column.reshape((*batch, *column.shape[1:])) for column in columns)

  @tag_failures
  def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Steps rows: fields of ``InputBatch`` to those of ``OutputBatch``, ``[..., ...]`` each."""
    batch = np.shape(arrays[0])
    count = int(np.prod(batch))
    rows = InputBatch(*(x.reshape(count, *x.shape[len(batch) :]) for x in arrays))
    out = self._empty(count, rows.action.shape[1])
    with self._lock:
      self._reserve(count - int(np.sum(rows.ended)))
      keys = [(token,) for token in _as_ints(rows.token)]
      known = {i for i, (key,) in enumerate(keys) if key in self._worker_of}
      left = np.arange(count)
      while left.size:  # a second time for rows whose instance was not where it was recorded
        parts = self._assign(left, [keys[i] for i in left], count)
        arguments = {worker: _select(rows, i, known, worker) for worker, i in parts.items()}
        missing: list[int] = []
        for worker, (outputs, lacking) in self._run("step", arguments).items():
          index = parts[worker]
          for column, values in zip(out, outputs, strict=True):
            column[index] = values
          found = np.delete(index, lacking)
          self._update_workers(worker, rows.token[found], out.token[found])
          missing += [index[i] for i in lacking]
        left, known = np.array(missing, int), set()
    return tuple(column.reshape((*batch, *column.shape[1:])) for column in out)

  def close(self) -> None:
    """Closes all instances and ends the processes.

    Raises:
      EnvironmentFailed: an instance raises; the others are closed nevertheless.
    """
    with self._lock, contextlib.ExitStack() as stack:
      stack.callback(_end, self._processes)
      stack.callback(self._in_thread, self.local.close)
      for worker, process in self._processes.items():
        process.ask("close")
        stack.callback(self._collect, [worker])
      self._worker_of.clear()

  def _reserve(self, rows: int) -> None:
    """Raises the number of remembered states to fit a batch; checks its size.

    Raises:
      EnvironmentFailed: there is one instance only, and more rows.
    """
    if self.max_rows is not None and rows > self.max_rows:
      raise environment_error(
        f"{self.local.name} is one instance and cannot serve {rows} rows at once: give "
        "from_gymnasium its id, or a function that makes one."
      )
    self._capacity = max(self._capacity, _TOKENS_PER_ROW * rows)

  def _assign(
    self, rows: np.ndarray, keys: Sequence[tuple[int, ...]], count: int
  ) -> dict[int, np.ndarray]:
    """Assigns rows to workers; returns the indices of each worker's rows.

    Args:
      rows: indices ``[n]``.
      keys: tokens by which each row's worker may be known.
      count: rows of the whole batch.
    """
    known = [
      next((self._worker_of[k] for k in own if k in self._worker_of), None) for own in keys
    ]
    load = Counter(worker for worker in known if worker is not None)
    candidates = self._candidates(count) if None in known else ()
    workers = []
    for worker in known:
      if worker is None:
        worker = min(candidates, key=load.__getitem__)
        load[worker] += 1
      workers.append(worker)
    return {worker: rows[[w == worker for w in workers]] for worker in sorted(load)}

  def _candidates(self, count: int) -> Collection[int]:
    """Returns the workers for new episodes of a batch of ``count`` rows."""
    if self._workers is None:
      processes = min(_cores(), count // _ROWS_PER_WORKER)
      return range(1, processes + 1) if processes > 1 else [LOCAL]
    return range(1, min(self._workers, count) + 1) or [LOCAL]

  def _update_workers(self, worker: int, before: np.ndarray, tokens: np.ndarray) -> None:
    """Records the worker of the states ``tokens``, which replace the states ``before``."""
    for old, new in zip(_as_ints(before), _as_ints(tokens), strict=True):
      self._worker_of.pop(old, None)
      self._worker_of[new] = worker
      self._worker_of.move_to_end(new)
    while len(self._worker_of) > self._capacity:
      self._worker_of.popitem(last=False)

  def _run(self, job: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
    """Runs a job in several workers at once; returns their results."""
    remote = [worker for worker in arguments if worker != LOCAL]
    new = [worker for worker in remote if worker not in self._processes]
    failure, results = None, {}
    try:
      for worker in new:
        self._processes[worker] = WorkerProcess(worker, self._setup)
      self._collect(new)
      for worker in remote:
        self._processes[worker].ask(job, *arguments[worker])
      if LOCAL in arguments:
        try:
          results[LOCAL] = self._in_thread(run_job, self.local, job, arguments[LOCAL])
        except EnvironmentFailed as error:
          failure = error
      return results | self._collect(remote, failure)
    except EnvironmentFailed:
      raise
    except BaseException as error:  # pending answers would be mistaken for the next job's
      _end(self._processes)
      if isinstance(error, OSError):
        message = f"{self.local.name}: a worker process cannot be started: {error}."
        raise environment_error(message) from error
      raise

  def _collect(
    self, workers: Collection[int], failure: EnvironmentFailed | None = None
  ) -> dict[int, Any]:
    """Returns the answers of worker processes; waits for all of them even after a failure.

    Raises:
      EnvironmentFailed: ``failure``, else the first one among the answers.
    """
    answers = {}
    for worker in workers:
      process = self._processes[worker]
      try:
        answers[worker] = process.answer(None if failure is None else GRACE_PERIOD)
      except EnvironmentFailed as error:
        failure = failure or error
      if not process.alive:
        process.end()
        del self._processes[worker]
        self._worker_of = OrderedDict(x for x in self._worker_of.items() if x[1] != worker)
    if failure is not None:
      raise failure
    return answers

  def _empty(self, count: int, action_dim: int) -> OutputBatch:
    return empty_outputs(count, self.local.obs_dim, self.local.pose_dim, action_dim)


def _select(
  rows: InputBatch, index: np.ndarray, known: set[int], worker: int
) -> tuple[Any, ...]:
  """Returns the fields of some rows; a worker known to be in a state gets no actions for it."""
  replayable = lambda i: worker == LOCAL or i not in known
  actions = [
    np.asarray(rows.actions[i])[: rows.steps[i]] if replayable(i) else None for i in index
  ]
  others = {name: x[index] for name, x in rows._asdict().items() if name != "actions"}
  return tuple(InputBatch(actions=actions, **others))


def _as_ints(tokens: np.ndarray) -> list[int]:
  """Returns each of the tokens ``[N, 2]`` as one integer."""
  return np.ascontiguousarray(tokens).view(np.uint64).reshape(-1).tolist()


def _call(function: Callable, *arguments: Any, **keywords: Any) -> Any:
  return function(*arguments, **keywords)


def _cores() -> int:
  """Returns the number of cores that this process may use."""
  affinity = getattr(os, "sched_getaffinity", None)
  return len(affinity(0)) if affinity else os.cpu_count() or 1


def _end(processes: dict[int, WorkerProcess]) -> None:
  """Ends all processes in parallel."""
  for process in processes.values():
    process.request_exit()
  for process in processes.values():
    process.end()
  processes.clear()
