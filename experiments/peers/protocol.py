"""How the benchmark and its workers talk: one JSON object a line, over stdin and stdout.

A worker builds its job once and then does one piece of it per request, so the
benchmark can alternate between libraries that live in different virtual
environments. Only the standard library and numpy are used here: a worker may
run in a Python that has no jax.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Sizes:
  """The job, the same for every library; defaults are PETS' cart-pole setting.

  Attributes:
    plans: candidates per iteration.
    iterations: of the cross-entropy method.
    horizon: control steps of a plan.
    particles: samples of each plan's future.
    members: nets of the ensemble.
    hidden: width of each hidden layer.
    elites: plans that the search distribution is fitted to.
    points: transitions in the training set.
    epochs: passes over it per training call.
    batch: rows of one gradient step, for each member.
  """

  plans: int = 400
  iterations: int = 5
  horizon: int = 25
  particles: int = 20
  members: int = 5
  hidden: tuple[int, ...] = (500, 500, 500)
  elites: int = 40
  points: int = 2000
  epochs: int = 5
  batch: int = 32

  obs_dim = 4
  action_dim = 1
  action_high = 3.0
  features = 6  # sin and cos of the angle, the other three, and the action

  @property
  def plan_flops(self) -> float:
    """Multiplications and additions of the nets' products in one planning step."""
    widths = (self.features, *self.hidden, 2 * self.obs_dim)
    row = 2 * sum(a * b for a, b in itertools.pairwise(widths))
    return float(row * self.plans * self.particles * self.horizon * self.iterations)

  @property
  def fit_samples(self) -> int:
    """Training rows that one training call pushes through members."""
    return self.members * self.points * self.epochs


def transitions(sizes: Sizes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws ``obs [B, O]``, ``action [B, A]``, ``next_obs [B, O]`` of a smooth system."""
  rng = np.random.default_rng(0)
  obs = rng.normal(size=(sizes.points, sizes.obs_dim))
  action = rng.uniform(-3, 3, size=(sizes.points, sizes.action_dim))
  drift = np.stack([obs[:, 2], obs[:, 3], action[:, 0], np.sin(obs[:, 1])], axis=1)
  next_obs = obs + 0.04 * drift + 0.01 * rng.normal(size=obs.shape)
  return tuple(np.asarray(x, np.float32) for x in (obs, action, next_obs))


def memory_mib() -> dict[str, float]:
  """Resident memory of this process, now and at its peak, in MiB.

  Linux' ``VmHWM`` rather than ``ru_maxrss``, which a child inherits from the
  process that started it.
  """
  try:
    with open("/proc/self/status", encoding="ascii") as status:
      fields = dict(line.split(":", 1) for line in status)
    return {
      k: int(fields[f].split()[0]) / 1024 for k, f in (("now", "VmRSS"), ("peak", "VmHWM"))
    }
  except OSError:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"now": peak, "peak": peak}


def serve(jobs: dict[str, Callable[..., dict[str, Any]]]) -> None:
  """Answers requests ``{"job": name, ...arguments}`` until stdin ends.

  An argument ``sizes`` arrives as a ``Sizes``. An exception is the answer
  ``{"error": text}``; the worker goes on.
  """
  answers = os.fdopen(os.dup(1), "w")  # whatever a library prints must not mix with answers
  os.dup2(2, 1)
  for line in sys.stdin:
    request = json.loads(line)
    if "sizes" in request:
      request["sizes"]["hidden"] = tuple(request["sizes"]["hidden"])
      request["sizes"] = Sizes(**request["sizes"])
    try:
      answer = jobs[request.pop("job")](**request)
    except Exception as error:
      answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)


class WorkerError(RuntimeError):
  """Tells that a worker could not do its job."""


class Worker:
  """Runs a worker module in its own process; a context manager."""

  def __init__(self, module: str, python: str = sys.executable):
    """Starts ``python -m module`` in the root of the checkout."""
    self.module = module
    self._process = subprocess.Popen(
      [python, "-m", module],
      cwd=ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def ask(self, job: str, **arguments: Any) -> dict[str, Any]:
    """Does one job and returns its answer.

    Raises:
      WorkerError: the worker answered with an error, or ended.
    """
    if isinstance(arguments.get("sizes"), Sizes):
      arguments["sizes"] = dataclasses.asdict(arguments["sizes"])
    try:
      self._process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
      self._process.stdin.flush()
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ""
    if not line:
      raise WorkerError(f"{self.module} ended with exit status {self._process.wait()}")
    answer = json.loads(line)
    if "error" in answer:
      raise WorkerError(f"{self.module}, job {job!r}: {answer['error']}")
    return answer

  def __enter__(self) -> Worker:
    """Returns the running worker."""
    return self

  def __exit__(self, *_: Any) -> None:
    """Ends the worker by closing its input; kills it if it does not listen."""
    self._process.stdin.close()
    try:
      self._process.wait(timeout=10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._process.stdout.close()
