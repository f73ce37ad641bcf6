"""Sharded equals unsharded: eight forced host devices against one, in a separate process."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mbrl_jax.planners import make_evaluate
from mbrl_jax.planners.rollout_layout import RolloutLayout, shard_counts
from mbrl_jax.types import Dynamics

PROBE = pathlib.Path(__file__).with_name("sharding_probe.py")
ROOT = PROBE.parents[2]
# Case (see the probe): largest share of the operations on one device, and the largest number
# of elements exchanged at once: of plans, never the noise of a rollout.
EVALUATE = {
  "evaluate/TSinf/candidates/16": (0.13, 0),
  "evaluate/TSinf/slices/16": (0.13, 16),
  "evaluate/TS1/all/16": (0.15, 16 * 32 * 3),
  "evaluate/pendulum/candidates/16": (0.135, 0),  # 0.1252 with jax 0.10, 0.1309 with 0.11
}
PLAN = {
  "plan/TSinf/candidates/cem": (0.14, 24 * 6),
  "plan/pendulum/candidates/mppi": (0.25, 32 * 6),
}
SLOW = {
  "evaluate/TSinf/particles/16": (0.13, 16 * 32),
  "evaluate/TSinf/all/16": (0.13, 16 * 32),
  "evaluate/TSinf/candidates/13": (0.6, 16 * 32),
  "evaluate/TSinf-keys/candidates/13": (0.2, 16 * 32),
  "evaluate/TSinf-keys/particles/16": (0.13, 16 * 32),
  "evaluate/TS1/candidates/16": (0.13, 0),
  "evaluate/TS1/candidates/13": (0.6, 16 * 32),
  "evaluate/TS1/particles/16": (0.16, 16 * 32 * 3),
  "evaluate/TS1/slices/13": (0.4, 16 * 32 * 3),
  "evaluate/MM/particles/16": (0.13, 16 * 3),
  "evaluate/pendulum/particles/13": (0.15, 16),
  "evaluate/pendulum/candidates/13": (0.2, 16 * 5),
  "evaluate/cartpole-mujoco/candidates/16": (0.13, 16 * 32 * 15),  # states, controls, ulps
  "plan/TSinf/slices/mppi": (0.2, 32 * 6),
  "plan/TS1/all/mppi": (0.2, 32 * 32 * 3),
  "plan/TS1/candidates/cem": (0.2, 24 * 6),
  "plan/pendulum/particles/cem": (0.6, 24),
}


def probe(cases):
  flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
  environ = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
  command = [sys.executable, str(PROBE), *cases]
  done = subprocess.run(
    command, env=environ, capture_output=True, text=True, timeout=250, check=False
  )
  assert done.returncode == 0, done.stderr[-3000:]
  answer = json.loads(done.stdout.splitlines()[-1])
  assert answer["devices"] == 8
  return answer["cases"]


def check(case, share, exchanged):
  assert case["gap"] <= 1e-5 * case["size"], case
  assert case["share"] <= share, case
  assert max(case["collectives"], default=0) <= exchanged, case


@pytest.fixture(scope="module")
def answers():
  return probe([*EVALUATE, *PLAN])


@pytest.fixture(scope="module")
def slow_answers():
  return probe(SLOW)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EVALUATE, *PLAN])
def test_sharded_equals_unsharded_and_operations_are_distributed(name, answers):
  check(answers[name], *(EVALUATE | PLAN)[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_sharded_equals_unsharded_in_every_layout(name, slow_answers):
  check(slow_answers[name], *SLOW[name])


def mesh(kind=AxisType.Auto):
  return jax.make_mesh((1, 1), ("candidates", "particles"), axis_types=(kind,) * 2)


@pytest.mark.parametrize(
  "sharding, message",
  [
    (lambda: PartitionSpec("candidates"), r"must be a jax\.sharding\.NamedSharding"),
    (lambda: jax.sharding.SingleDeviceSharding(jax.devices()[0]), "must be a jax.sharding"),
    (
      lambda: NamedSharding(mesh(), PartitionSpec(None, None, None, "particles")),
      r"over the rows \[E, N, P/E\]",
    ),
    (
      lambda: NamedSharding(mesh(AxisType.Explicit), PartitionSpec("candidates")),
      "must be AxisType.Auto",
    ),
  ],
)
def test_invalid_shardings_are_named(sharding, message):
  with pytest.raises(ValueError, match=message):
    make_evaluate(Dynamics(lambda p, s, a, k: (s, 0.0, False)), sharding=sharding())


class FakeSharding(NamedSharding):
  """A sharding over more devices than exist, for tests of sizes only."""

  @property
  def mesh(self):
    axes = (AxisType.Auto,) * 3
    return jax.sharding.AbstractMesh((4, 3, 2), ("slices", "candidates", "particles"), axes)


def fake_sharding():
  one = jax.make_mesh((1, 1, 1), ("slices", "candidates", "particles"), (AxisType.Auto,) * 3)
  return FakeSharding(one, PartitionSpec("slices", "candidates", "particles"))


def test_slices_and_particles_must_divide_among_their_devices():
  step = lambda p, s, a, k: (s, 0.0, False)
  with pytest.raises(ValueError, match="5 slices do not divide among 4 devices"):
    make_evaluate(Dynamics(step, slices=5), particles=10, sharding=fake_sharding())
  with pytest.raises(ValueError, match="3 particles of a slice do not divide among 2 devices"):
    make_evaluate(Dynamics(step, slices=4), particles=12, sharding=fake_sharding())
  with pytest.raises(ValueError, match=r"map_slices=True .* choose one"):
    make_evaluate(
      Dynamics(step, slices=4), particles=8, sharding=fake_sharding(), map_slices=True
    )


def test_candidates_are_padded_with_the_last_one():
  layout = RolloutLayout(4, 7, 2, fake_sharding())
  assert shard_counts(layout.sharding) == {"E": 4, "N": 3, "P": 2}
  assert (layout.padding, layout.shape) == (2, (4, 9, 2))
  plans = layout.pad(jnp.arange(14.0).reshape(7, 2), "N")
  assert plans[:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 12, 12]
  keys = layout.pad(jax.random.split(jax.random.key(0), (4, 7)), "EN")
  assert keys.shape == (4, 9) and (keys[:, 8] == keys[:, 6]).all()
  assert RolloutLayout(4, 7, 2).shape == (4, 7, 2)
