"""Several processes as one set of devices, on the loopback interface."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from mbrl_jax.runtime.devices import distributed

PROBE = pathlib.Path(__file__).with_name("distributed_probe.py")
ROOT = PROBE.parents[3]


def free_port():
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


def start(port, index):
  flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
  environ = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
  command = [sys.executable, str(PROBE), f"127.0.0.1:{port}", "2", str(index)]
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
  return subprocess.Popen(command, env=environ, text=True, **pipes)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_two_processes_plan_the_same_actions_as_one():
  port = free_port()
  children = [start(port, index) for index in range(2)]
  try:
    outputs = [child.communicate(timeout=120) for child in children]
  finally:
    for child in children:
      child.kill()
  for child, (_, errors) in zip(children, outputs, strict=True):
    assert child.returncode == 0, errors[-3000:]
  first, second = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
  for answer in (first, second):
    assert (answer["devices"], answer["local"]) == (4, 2)
    sharded, alone = (answer[name]["actions"] for name in ("sharded", "alone"))
    np.testing.assert_allclose(sharded, alone, rtol=1e-4, atol=1e-5)
    # The returned plan has the sharding of the plan passed in: nothing compiles again.
    assert answer["sharded"]["compiled"] == answer["alone"]["compiled"] == 0
  assert first["sharded"] == second["sharded"]
  assert (first["first"], second["first"]) == (True, False)


@pytest.mark.parametrize(
  "arguments, message",
  [
    ({"processes": 2, "index": 0}, r"coordinator missing; .*'address:port'"),
    ({"coordinator": "a:1"}, "processes and index missing"),
    (
      {"coordinator": "a", "processes": 2, "index": 0},
      "coordinator='a' must be 'address:port'",
    ),
    ({"coordinator": "a:b", "processes": 2, "index": 0}, "must be 'address:port'"),
    ({"coordinator": "a:1", "processes": 2, "index": 2}, "index=2 must lie between 0 and"),
    ({"coordinator": "a:1", "processes": 0, "index": 0}, "with processes=0"),
  ],
)
def test_missing_and_invalid_arguments_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    distributed.initialize(**arguments)


@pytest.mark.timeout(120)
def test_without_a_cluster_the_message_names_the_arguments():
  """In a separate process, because jax looks for a cluster only before it computes."""
  clusters = ("JAX_COORDINATOR_ADDRESS", "SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri")
  environ = {name: value for name, value in os.environ.items() if name not in clusters}
  command = "from mbrl_jax.runtime.devices.distributed import initialize; initialize()"
  child = subprocess.run(
    [sys.executable, "-c", command],
    cwd=ROOT,
    env=environ,
    capture_output=True,
    text=True,
    timeout=100,
    check=False,
  )
  last = child.stderr.strip().splitlines()[-1]
  assert child.returncode and last.startswith("ValueError: No cluster was found")
  assert "coordinator='address:port' of process 0, processes=" in last
