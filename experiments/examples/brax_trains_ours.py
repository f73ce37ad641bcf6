"""Trains Brax's soft actor-critic on a task of mbrl_jax.

  python -m experiments.examples.brax_trains_ours --out=brax_pendulum.csv

Writes a row per evaluation: environment steps, mean and standard deviation of the return.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from typing import Any

from absl import app, flags

from experiments.benchmark.peers import brax_trainers
from mbrl_jax import make_env, to_brax

Train = Callable[..., list[dict[str, float]]]
"""``(env, *, steps, evaluations, seed) -> rows``."""


def row(step: int, seed: int, mean: float, std: float) -> dict[str, float]:
  """Prints an evaluation; returns its row, with the columns of ``evaluations.csv``."""
  print(f"step {step:7d}   return {mean:8.1f}", flush=True)
  return {"step": step, "seed": seed, "eval/return": mean, "eval/return_std": std}


def train(name: str, *, steps: int, evaluations: int, seed: int) -> list[dict[str, float]]:
  """Trains Brax's SAC on the task ``name``; returns a row per evaluation."""
  from brax.training.agents.sac import networks
  from brax.training.agents.sac import train as sac

  env = make_env(name)
  rows: list[dict[str, float]] = []

  def progress(step: int, metrics: dict[str, Any]) -> None:
    found = (float(metrics[f"eval/episode_reward{end}"]) for end in ("", "_std"))
    rows.append(row(int(step), seed, *found))

  with brax_trainers.runnable():
    sac.train(
      environment=to_brax(env),
      num_timesteps=steps,
      episode_length=env.spec.episode_length,
      num_envs=8,
      num_eval_envs=16,
      num_evals=evaluations,
      min_replay_size=1000,
      max_replay_size=100_000,
      grad_updates_per_step=8,
      learning_rate=1e-3,
      discounting=0.99,
      network_factory=functools.partial(
        networks.make_sac_networks, hidden_layer_sizes=(64, 64)
      ),
      deterministic_eval=True,
      seed=seed,
      progress_fn=progress,
    )
  return rows


def write(path: str, rows: list[dict[str, float]]) -> None:
  """Writes the rows as CSV."""
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)


def define(out: str) -> None:
  """Defines the flags of every trainer; ``out`` is the default of ``--out``."""
  flags.DEFINE_string("env", "pendulum", "Task.")
  flags.DEFINE_integer("seed", 0, "Seed.")
  flags.DEFINE_string("out", out, "CSV file of the evaluations.")


def run(train: Train) -> None:
  """Parses the flags, trains and writes the table."""

  def main(argv: list[str]) -> None:
    del argv
    options = flags.FLAGS
    rows = train(
      options.env, steps=options.steps, evaluations=options.evaluations, seed=options.seed
    )
    write(options.out, rows)

  app.run(main)


if __name__ == "__main__":
  define("brax.csv")
  flags.DEFINE_integer("steps", 20_000, "Environment steps.", 2_000)
  flags.DEFINE_integer("evaluations", 6, "Evaluations, including one before training.", 2)
  run(train)
