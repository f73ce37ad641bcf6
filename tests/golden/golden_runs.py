"""Records short runs of every algorithm, to check that a refactoring changes no number.

  python tests/golden/golden_runs.py                  # records all runs
  python tests/golden/golden_runs.py --compare        # lists differences, bit-exact
  python tests/golden/golden_runs.py --compare sac_1  # of one run

A folder ``NAME_SEEDS`` holds ``metrics.csv`` and ``evaluations.csv`` of a run and, in
``leaves.csv``, the checksums of the arrays of its last checkpoint with their counts. XLA's
fusion is off, because fusions, and so the rounding of sums, change with every edit of a
program. Bits also depend on the processor: compare on the recording machine. Without fusion,
XLA of jaxlib 0.10 computes wrong numbers under ``--xla_cpu_use_fusion_emitters=false``.
"""

from __future__ import annotations

import collections
import csv
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

import jax
import numpy as np

FOLDER = pathlib.Path(__file__).parent
EXACT = {
  "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
  "XLA_FLAGS": "--xla_disable_hlo_passes=fusion",
}
WORLD_MODEL = (
  "world_model.members=3 world_model.elites=2 world_model.hidden=(16,16) "
  "world_model.weight_decay=(1e-5,) "
  "world_model.epochs=3 world_model.batch_size=32"
)
AGENT = "agent.hidden=(16,16) agent.batch_size=16"
LOOKAHEAD = (
  "lookahead.samples=12 lookahead.elites=4 lookahead.iterations=2 lookahead.particles=4"
)
STEPS = "steps=300 init_steps=100 update_every=50"
MODEL_BASED = (
  f"{STEPS} rollout_batch_size=20 epoch_length=100 {WORLD_MODEL} {AGENT} "
  "agent.updates_per_step=2"
)
ON_POLICY = "steps=300 batch=50 policy.hidden=(16,16) policy.log_std=0.0"
PENDULUM = "--env=pendulum --env.episode_length=40 --eval_steps=100 --eval_episodes=2"
PETS = (
  "--env=cartpole --env.episode_length=30 --eval_every=1 --config.trials=2 "
  "--config.model.members=3 --config.model.hidden=(16,16) --config.model.weight_decay=(1e-5,) "
  "--config.fit.epochs=3 --config.planner.samples=16 --config.planner.elites=4 "
  "--config.planner.horizon=5 --config.planner.particles=6 --config.planner.iterations=2"
)


def _flags(values: str) -> str:
  return " ".join(f"--config.{value}" for value in values.split())


RUNS = {
  "pets": f"--algo=pets {PETS}",
  "mbmf": f"--algo=mbmf {PENDULUM} "
  + _flags(
    "steps=300 init_steps=160 update_every=80 validation_every=3 model.hidden=(16,) "
    "fit.epochs=5 fit.batch_size=32 planner.samples=20 planner.horizon=5"
  ),
  "sac": "--algo=sac --env=inverted_pendulum --eval_steps=100 --eval_episodes=2 "
  + _flags(f"{STEPS} {AGENT}"),
  "mbpo": f"--algo=mbpo {PENDULUM} "
  + _flags(f"{MODEL_BASED} real_ratio_schedule=(0,2,0.2,0.5) rollout_schedule=(0,2,1,3)"),
  "mopac": f"--algo=mopac {PENDULUM} "
  + _flags(f"{MODEL_BASED} rollout_schedule=(0,2,2,3) samples=5"),
  "mopac_as_released": f"--algo=mopac {PENDULUM} "
  + _flags(f"{MODEL_BASED} rollout_schedule=(0,2,2,3) samples=5 as_released=true"),
  "demorl": f"--algo=demorl {PENDULUM} "
  + _flags(f"{STEPS} model_buffer_size=1000 {WORLD_MODEL} {AGENT} {LOOKAHEAD}"),
  "loop": f"--algo=loop {PENDULUM} "
  + _flags(f"{STEPS} model_buffer_size=1000 {WORLD_MODEL} {AGENT} {LOOKAHEAD}"),
  "demo_layer": f"--algo=demo_layer {PENDULUM} "
  + _flags(f"{STEPS} directions=1 top=1 {WORLD_MODEL} {LOOKAHEAD} lookahead.horizon=4"),
  "pal": f"--algo=pal {PENDULUM} "
  + _flags(
    f"{STEPS} capacity=150 paths=6 horizon=10 policy_steps=2 buffer_share=0.5 action_repeat=2 "
    "policy.hidden=(16,) baseline.hidden=(16,) world_model.hidden=(16,16) "
    "world_model.members=3 world_model.batch_size=32 world_model.epochs=3 "
    "world_model.learn_reward=true world_model.reward_hidden=(16,)"
  ),
  "npg": f"--algo=npg {PENDULUM} " + _flags(f"{ON_POLICY} baseline.hidden=(16,16)"),
  # The ridge and the damping make small batches well-conditioned: other processors round.
  "trpo": f"--algo=trpo {PENDULUM} "
  + _flags(f"{ON_POLICY} baseline.kind=linear baseline.ridge=1.0 trpo.damping=0.1"),
}
"""Flags of ``experiments.train``, by run."""
NAMES = [f"{name}_{seeds}" for name in RUNS for seeds in (1, 2)]


def train(name: str, folder: pathlib.Path) -> None:
  """Trains a run of ``NAMES`` in a new process.

  Raises:
    RuntimeError: the run failed; with the end of its output.
  """
  run, seeds = name.rsplit("_", 1)
  command = f"-m experiments.train {RUNS[run]} --seeds={seeds} --seed=3 --video=false".split()
  environment = {**os.environ, **EXACT}
  result = subprocess.run(
    [sys.executable, *command, f"--logdir={folder}"],
    capture_output=True,
    text=True,
    env=environment,
    cwd=FOLDER.parents[1],
  )
  if result.returncode:
    raise RuntimeError(f"{name} failed:\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")


def tables(folder: pathlib.Path) -> dict[str, list[list[str]]]:
  """Reads the tables of a run, as rows of strings by file name."""
  found = {}
  for name in ("metrics.csv", "evaluations.csv"):
    if (folder / name).exists():
      found[name] = list(csv.reader((folder / name).open()))
  found["leaves.csv"] = [[k, str(n)] for k, n in sorted(checksums(folder).items())]
  return found


def checksums(folder: pathlib.Path) -> collections.Counter:
  """Counts checksums of the arrays with more than four elements in the last checkpoint."""
  from experiments import job
  from mbrl_jax.runtime.storage import run_folder
  from mbrl_jax.runtime.storage.checkpoint import Checkpoints

  opened = run_folder.open_run(folder)
  state = Checkpoints(opened.checkpoints).restore(job.build_run(opened).init(), None).state
  found = collections.Counter()
  for leaf in jax.tree.leaves(state):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    if array.size > 4 and array.any():
      found[hashlib.sha256(f"{array.dtype}".encode() + array.tobytes()).hexdigest()[:16]] += 1
  return found


def compare(name: str, found: dict[str, list[list[str]]]) -> list[str]:
  """Lists differences of a run from its golden tables; added columns do not count."""
  differences = []
  for file in sorted((FOLDER / name).glob("*.csv")):
    golden, rows = list(csv.reader(file.open())), found.get(file.name, [])
    if file.name == "leaves.csv":
      now, before = ({row[0] for row in table} for table in (rows, golden))
      missing, new = sorted(before - now), sorted(now - before)
      if missing or new:
        differences.append(
          f"{name}: {len(missing)} of {len(before)} arrays are missing: {missing}; new: {new}"
        )
      continue
    as_columns = lambda table: dict(zip(table[0], zip(*table[1:], strict=True), strict=True))
    now, before = as_columns(rows) if rows else {}, as_columns(golden)
    differences += [
      f"{name}/{file.name}: column {column} is {now.get(column)}, golden {values}"
      for column, values in before.items()
      if now.get(column) != values
    ]
  return differences


def main(arguments: list[str]) -> int:
  """Records or compares runs; returns the exit status."""
  unknown = sorted({*arguments} - {"--compare", *NAMES})
  if unknown:
    print(f"unknown: {', '.join(unknown)}; valid: --compare, {', '.join(NAMES)}")
    return 2
  names = [word for word in arguments if word != "--compare"] or NAMES
  status = 0
  for name in names:
    with tempfile.TemporaryDirectory() as temporary:
      folder = pathlib.Path(temporary) / name
      train(name, folder)
      found = tables(folder)
    if "--compare" in arguments:
      differences = compare(name, found)
      status |= bool(differences)
      print("\n".join(differences) if differences else f"{name}: the same", flush=True)
      continue
    (FOLDER / name).mkdir(exist_ok=True)
    for file, rows in found.items():
      with (FOLDER / name / file).open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows(rows)
    print(f"recorded {name}", flush=True)
  return status


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
