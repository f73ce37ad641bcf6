"""A worker that answers, sleeps, fails or dies on request; in sweeps by the number of plans."""

import os
import signal
import time

from experiments.benchmark.peers import protocol

JOB = {}


def devices():
  return {"platform": "cpu", "kind": "probe", "count": 1}


def setup(sizes, dtype, devices):
  JOB["plans"], JOB["flops"] = sizes.plans, sizes.plan_flops
  if sizes.plans == 11:
    raise MemoryError("needs 9 MiB, 8 are free")
  if sizes.plans == 12:
    time.sleep(60)
  if sizes.plans == 13:
    os.kill(os.getpid(), signal.SIGKILL)
  if sizes.plans == 14:
    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nand more lines")
  if devices > 2:
    raise RuntimeError(f"needs {devices} devices, 2 are available\nand more lines")
  return {"compile_seconds": 1.5}


def measure(seconds):
  finite = JOB["plans"] != 15
  return {"seconds": 0.5, "steps": 2, "finite": finite, "memory_mib": 100.0}


def environment(name):
  return {"value": os.environ.get(name)}


def sleep(seconds):
  time.sleep(seconds)
  return {}


def die(status):
  os._exit(status)


if __name__ == "__main__":
  jobs = (devices, setup, measure, environment, sleep, die)
  protocol.serve({job.__name__: job for job in jobs})
