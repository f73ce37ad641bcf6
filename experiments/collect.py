"""Records transitions of a run's policy, as a dataset for offline learning.

  python -m experiments.collect --run=runs/demo --transitions=20000 --out=data.npz
  python -m experiments.collect --run=runs/pal --step=12000 --out=data.npz --greedy
  python -m experiments.train --algo=morel --env=hopper --config.dataset=data.npz

Records whole episodes with the exploration of training, but without its random warm-up actions;
--greedy records episodes of an evaluation. Several trained seeds contribute equally. The file
holds obs, action, reward, next_obs and terminated, one row for each control step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import evaluate
from experiments.command_line import cli, outputs
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.dataset import ROWS
from mbrl_jax.types import Algorithm

BATCH = 10
"""Episodes of each trained seed in a compiled call."""


def define() -> None:
  """Defines the flags."""
  evaluate.define_choice()
  flags.DEFINE_integer("transitions", 20_000, "Control steps to record, at least.", 1)
  flags.DEFINE_bool("greedy", False, "Without exploration, as in an evaluation.")
  flags.DEFINE_integer("seed", 0, "Seed of the episodes.", 0)
  flags.DEFINE_string("out", "dataset.npz", "The file to write.")


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Records the dataset; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  out = outputs.check_file(Path(options.out), suffixes=(".npz",))
  _, task, restored = evaluate.restore(options)
  if not options.greedy:
    task = task._replace(algorithm=exploring(task.algorithm))
  rollout, seconds = task.evaluation(BATCH, restored.state)
  console.print(f"compiled the episodes in {seconds:.1f} s", markup=False)
  key, parts, returns = stream_key("collect", options.seed), [], []
  while sum(len(part["reward"]) for part in parts) < options.transitions:
    metrics = rollout(restored.state, jax.random.fold_in(key, len(parts)))
    parts.append(transitions_of(metrics))
    returns.append(np.ravel(metrics["return"]))
  data = {name: np.concatenate([part[name] for part in parts]) for name in ROWS}
  files.write_npz(out, data)
  found = np.concatenate(returns)
  console.print(
    f"wrote {out}: {len(data['reward'])} transitions of {len(found)} episodes at step "
    f"{restored.step}, return {found.mean():.2f} ± {found.std():.2f}",
    markup=False,
  )
  return 0


def exploring(algorithm: Algorithm) -> Algorithm:
  """Returns the algorithm whose evaluations explore, as in training."""
  return algorithm._replace(deploy=lambda params: (params, algorithm.deploy(params)[1]))


def transitions_of(metrics: dict[str, Any]) -> dict[str, np.ndarray]:
  """Returns the rows of all episodes, each up to its end, one episode after the other.

  Args:
    metrics: of evaluation episodes, see ``make_evaluation``; perhaps with a leading seed axis.
  """
  rows = {
    name: np.asarray(getattr(metrics["transition"], name)) for name in (*ROWS, "truncated")
  }
  axes = rows["reward"].ndim
  flat = {name: x.reshape(-1, *x.shape[axes - 1 :]) for name, x in rows.items()}
  done = flat["terminated"] | flat.pop("truncated")
  ended_before = np.cumsum(done, axis=1) - done
  return {name: x[ended_before == 0] for name, x in flat.items()}


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
