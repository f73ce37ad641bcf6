"""Implements a worker's side of the protocol: one JSON object per line on stdin and stdout.

A worker sets a job up once and then does one part of it per request, so the
benchmark can interleave libraries in different virtual environments. Only the
standard library and numpy are imported: a worker may run in a Python without
jax.
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
  """Returns the current and peak resident memory of this process, in MiB.

  Reads Linux' ``VmHWM`` rather than ``ru_maxrss``, which a child inherits from
  its parent.
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
  """Returns the memory that a process may still allocate, in MiB; infinity if unknown.

  The smaller of the machine's available memory and the rest of the control group's limit.
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
  """Returns the number of cores that this process may use."""
  affinity = getattr(os, "sched_getaffinity", None)
  return len(affinity(0)) if affinity else os.cpu_count() or 1


def serve(jobs: dict[str, Callable[..., dict[str, Any]]]) -> None:
  """Answers requests ``{"job": name, ...arguments}`` until stdin ends.

  An argument ``sizes`` becomes a ``Sizes``. An exception is answered with
  ``{"error": text}``, and the worker continues.
  """
  answers = os.fdopen(os.dup(1), "w")  # keeps answers apart from what libraries print
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
