"""How the benchmark and its workers talk: one JSON object a line, over stdin and stdout.

A worker builds its job once and then does one piece of it per request, so the
benchmark can alternate between libraries that live in different virtual
environments. Only the standard library and numpy are used here: a worker may
run in a Python that has no jax.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.benchmark.peers.sizes import Sizes

MIB = 2**20


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
    unit = MIB if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"now": peak, "peak": peak}


def free_mib() -> float:
  """Memory that a process may still take, in MiB; infinite where nothing says.

  What the machine has left, and what the control group has left, if it has a limit.
  """
  free = [float("inf")]
  with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as info:
    fields = dict(line.split(":", 1) for line in info)
    free.append(int(fields["MemAvailable"].split()[0]) / 1024)
  group = Path("/sys/fs/cgroup")
  with contextlib.suppress(OSError, ValueError):
    limit, used = (int((group / f"memory.{x}").read_text()) for x in ("max", "current"))
    free.append((limit - used) / MIB)
  return min(free)


def cores() -> int:
  """Returns the cores that this process may use."""
  affinity = getattr(os, "sched_getaffinity", None)
  return len(affinity(0)) if affinity else os.cpu_count() or 1


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
