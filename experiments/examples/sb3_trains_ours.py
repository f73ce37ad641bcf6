"""Stable-Baselines3's soft actor-critic learns one of our tasks.

  pip install stable-baselines3
  python -m experiments.examples.sb3_trains_ours --out=sb3_pendulum.csv

Writes a row for each training episode: environment steps and return.
"""

from __future__ import annotations

from typing import Any

from absl import app, flags

from experiments.examples.brax_trains_ours import write
from mbrl_jax import make_env, to_gymnasium


def train(name: str, *, steps: int, seed: int) -> list[dict[str, float]]:
  """Trains and returns the rows."""
  from stable_baselines3 import SAC

  model = SAC(
    "MlpPolicy", to_gymnasium(make_env(name)), learning_rate=1e-3, seed=seed, device="cpu"
  )
  rows: list[dict[str, float]] = []

  def after_step(found: dict[str, Any], _: dict[str, Any]) -> bool:
    episode = found["infos"][0].get("episode")  # written by SB3's own Monitor
    if episode:
      rows.append({"step": model.num_timesteps, "return": round(float(episode["r"]), 2)})
      print(f"step {rows[-1]['step']:6d}   return {rows[-1]['return']:8.1f}", flush=True)
    return True  # go on

  model.learn(steps, callback=after_step)
  return rows


def main(argv: list[str]) -> None:
  """Trains and writes the table."""
  del argv
  options = flags.FLAGS
  write(options.out, train(options.env, steps=options.steps, seed=options.seed))


if __name__ == "__main__":
  flags.DEFINE_string("env", "pendulum", "Task.")
  flags.DEFINE_integer("steps", 5_000, "Environment steps.", 1)
  flags.DEFINE_integer("seed", 0, "Seed.")
  flags.DEFINE_string("out", "sb3.csv", "Table to write.")
  app.run(main)
