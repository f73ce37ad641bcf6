"""Spreads the rows of a batch over this process and worker processes.

Rows of one batch are stepped side by side, with one message for each process and control step.
A row goes to the process in which an instance is in its state; new episodes go where the
rows' last ones were, or to the process that has the fewest of the batch. Where a row is
stepped changes nothing of what it leads to, see ``host``.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from mbrl_jax.envs.adapters.host.host import Host, Row, Stepped, blank, token_of
from mbrl_jax.envs.adapters.host.host_thread import HostThread, call_here
from mbrl_jax.envs.adapters.host.worker_process import WorkerProcess
from mbrl_jax.envs.adapters.host.worker_server import GRACE, WorkerSetup, carry_out
from mbrl_jax.ops.env_failure import EnvironmentFailed, failed, marks_failure

HERE = 0
"""The place of this process; those of worker processes are 1, 2 and so on."""
_SHARE = 8  # rows that are worth a message: from 16 on, two processes gain where MuJoCo steps
_REMEMBERED = 4  # places to remember for each row of the largest batch


class VectorHost:
  """Resets and steps rows.

  Attributes:
    own: the host in this process, whose first instance shows what all are like.
    max_rows: how many rows there can be at once, ``None``: as many as are wanted.
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
      packed: the same for another process, ``None`` where that cannot be.
      workers: processes to step rows in; 0: this one. ``None``: this one for a few rows,
        else as many as there are cores.
      single: ``make`` returns the same instance each time.
      timeout: seconds that an instance may take to answer.
      **settings: for ``Host``.

    Raises:
      ValueError: a space that cannot be adapted.
      EnvironmentFailed: it cannot be made or reset.
    """
    thread = HostThread(timeout)
    if timeout is None:
      self._in_thread, call = thread.call, call_here  # a whole job at once
    else:
      self._in_thread, call = _call, lambda what, function: thread.call(function)
    self.own = self._in_thread(Host, name, make, call, single=single, **settings)
    self.max_rows = 1 if single else None
    self._workers = workers if packed is not None else 0
    own = {k: np.asarray(v) if hasattr(v, "__array__") else v for k, v in settings.items()}
    self._setup = WorkerSetup(packed or b"", timeout, {"name": name, "single": False, **own})
    self._processes: dict[int, WorkerProcess] = {}
    self._places: OrderedDict[int, int] = OrderedDict()
    self._remembered = 0
    self._lock = threading.Lock()
    weakref.finalize(self, _end, self._processes)

  @marks_failure
  def reset(self, wanted: Any, seeds: Any, ended: Any) -> tuple[np.ndarray, ...]:
    """Begins episodes.

    Args:
      wanted: which rows are to begin ``[...]`` bool; the others are left alone.
      seeds: of the episodes ``[...]`` uint32.
      ended: tokens of the states that nobody will ask for any more ``[..., 2]``.

    Returns:
      Tokens ``[..., 2]``, observations ``[..., O]`` and poses ``[..., Q]``.
    """
    batch, which = np.shape(wanted), np.flatnonzero(wanted)
    seeds, ended = np.ravel(seeds), ended.reshape(-1, 2)
    out = self._blank(len(seeds), 0)
    columns = out.token, out.obs, out.pose
    with self._lock:
      self._expect(len(which))
      first = np.array([token_of(seed) for seed in seeds[which]], np.uint32).reshape(-1, 2)
      keys = list(zip(_numbers(first), _numbers(ended[which]), strict=True))
      parts = self._split(which, keys, len(seeds))
      answers = self._ask("reset", {p: (seeds[i], ended[i]) for p, i in parts.items()})
      for place, index in parts.items():
        for column, values in zip(columns, answers[place], strict=True):
          column[index] = values
        self._remember(place, ended[index], out.token[index])
    return tuple(column.reshape((*batch, *column.shape[1:])) for column in columns)

  @marks_failure
  def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Steps rows: the fields of ``Row`` to those of ``Stepped``, ``[..., ...]`` each."""
    batch = np.shape(arrays[0])
    count = int(np.prod(batch))
    rows = Row(*(x.reshape(count, *x.shape[len(batch) :]) for x in arrays))
    out = self._blank(count, rows.action.shape[1])
    with self._lock:
      self._expect(count - int(np.sum(rows.ended)))
      keys = [(token,) for token in _numbers(rows.token)]
      known = {i for i, (key,) in enumerate(keys) if key in self._places}
      left = np.arange(count)
      while left.size:  # once more where an instance was not where it was last seen
        parts = self._split(left, [keys[i] for i in left], count)
        arguments = {place: _take(rows, i, known, place) for place, i in parts.items()}
        missing = []
        for place, (stepped, lacking) in self._ask("step", arguments).items():
          index = parts[place]
          for column, values in zip(out, stepped, strict=True):
            column[index] = values
          found = np.delete(index, lacking)
          self._remember(place, rows.token[found], out.token[found])
          missing += [index[i] for i in lacking]
        left, known = np.array(missing, int), set()
    return tuple(column.reshape((*batch, *column.shape[1:])) for column in out)

  def close(self) -> None:
    """Closes all instances and ends the processes.

    Raises:
      EnvironmentFailed: one raises; the others are closed all the same.
    """
    with self._lock, contextlib.ExitStack() as stack:
      stack.callback(_end, self._processes)
      stack.callback(self._in_thread, self.own.close)
      for place, process in self._processes.items():
        process.ask("close")
        stack.callback(self._answers, [place])
      self._places.clear()

  def _expect(self, rows: int) -> None:
    """Makes room for a batch, if that can be."""
    if self.max_rows is not None and rows > self.max_rows:
      raise failed(
        f"{self.own.name} is one instance and cannot serve {rows} rows at once: give "
        "from_gymnasium its id, or a function that makes one."
      )
    self._remembered = max(self._remembered, _REMEMBERED * rows)

  def _split(
    self, rows: np.ndarray, keys: list[tuple[int, ...]], count: int
  ) -> dict[int, np.ndarray]:
    """Chooses places: which of ``rows`` go to each.

    Args:
      rows: indices ``[n]``.
      keys: tokens by which each may be known.
      count: rows of the whole batch.
    """
    places = [next((self._places[k] for k in own if k in self._places), None) for own in keys]
    load = Counter(place for place in places if place is not None)
    open_places = self._open(count) if None in places else ()
    for i, place in enumerate(places):
      if place is None:
        places[i] = min(open_places, key=load.__getitem__)
        load[places[i]] += 1
    return {place: rows[[p == place for p in places]] for place in sorted(load)}

  def _open(self, count: int) -> Collection[int]:
    """Returns the places for new episodes of a batch of ``count`` rows."""
    if self._workers is None:
      processes = min(_cores(), count // _SHARE)
      return range(1, processes + 1) if processes > 1 else [HERE]
    return range(1, min(self._workers, count) + 1) or [HERE]

  def _remember(self, place: int, before: np.ndarray, tokens: np.ndarray) -> None:
    """Notes where the states are that rows were led to, in place of those before."""
    for old, new in zip(_numbers(before), _numbers(tokens), strict=True):
      self._places.pop(old, None)
      self._places[new] = place
      self._places.move_to_end(new)
    while len(self._places) > self._remembered:
      self._places.popitem(last=False)

  def _ask(self, job: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
    """Lets each place do its part of a job; returns what each answers."""
    others = [place for place in arguments if place != HERE]
    new = [place for place in others if place not in self._processes]
    failure, answers = None, {}
    try:
      for place in new:
        self._processes[place] = WorkerProcess(place, self._setup)
      self._answers(new)
      for place in others:
        self._processes[place].ask(job, *arguments[place])
      if HERE in arguments:
        try:
          answers[HERE] = self._in_thread(carry_out, self.own, job, arguments[HERE])
        except EnvironmentFailed as error:
          failure = error
      return answers | self._answers(others, failure)
    except EnvironmentFailed:
      raise
    except BaseException as error:  # answers to come would be taken for those of the next job
      _end(self._processes)
      if isinstance(error, OSError):
        raise failed(f"{self.own.name} gets no worker process: {error}.") from error
      raise

  def _answers(
    self, places: Collection[int], failure: EnvironmentFailed | None = None
  ) -> dict[int, Any]:
    """Returns the answers of processes; none is left to be taken for that of the next job.

    Raises:
      EnvironmentFailed: ``failure``, or the first that there is.
    """
    answers = {}
    for place in places:
      process = self._processes[place]
      try:
        answers[place] = process.answer(None if failure is None else GRACE)
      except EnvironmentFailed as error:
        failure = failure or error
      if not process.alive:
        process.end()
        del self._processes[place]
        self._places = OrderedDict(x for x in self._places.items() if x[1] != place)
    if failure is not None:
      raise failure
    return answers

  def _blank(self, count: int, action_dim: int) -> Stepped:
    return blank(count, self.own.obs_dim, self.own.pose_dim, action_dim)


def _take(rows: Row, index: np.ndarray, known: set[int], place: int) -> tuple[Any, ...]:
  """Returns the fields of some rows, without the actions that a process need not be told."""
  parts = rows._replace(actions=None)
  told = lambda i: place == HERE or i not in known
  actions = [rows.actions[i, : rows.steps[i]] if told(i) else None for i in index]
  return tuple(actions if field is None else field[index] for field in parts)


def _numbers(tokens: np.ndarray) -> list[int]:
  """Returns each of the tokens ``[N, 2]`` as one number."""
  return np.ascontiguousarray(tokens).view(np.uint64).reshape(-1).tolist()


def _call(function: Callable, *arguments: Any, **keywords: Any) -> Any:
  return function(*arguments, **keywords)


def _cores() -> int:
  """Returns the cores that this process may use."""
  affinity = getattr(os, "sched_getaffinity", None)
  return len(affinity(0)) if affinity else os.cpu_count() or 1


def _end(processes: dict[int, WorkerProcess]) -> None:
  """Ends processes, all at once."""
  for process in processes.values():
    process.dismiss()
  for process in processes.values():
    process.end()
  processes.clear()
