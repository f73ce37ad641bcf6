"""Writes files of finished stages with known content."""

from __future__ import annotations

import json

import numpy as np

from experiments import run_settings
from mbrl_jax.runtime.rendering import figures


def run_folder(folder, algo="sac", env="pendulum", **config):
  """Writes a run folder with settings of this version; returns it."""
  folder.mkdir(parents=True)
  settings = run_settings.make_settings(
    algo=algo,
    env=env,
    preset="cpu",
    physics="auto",
    seed=0,
    seeds=1,
    env_overrides={},
    config_overrides={},
  )
  (folder / "config.json").write_text(json.dumps({**settings, **config}))
  (folder / "versions.json").write_text('{"packages": {}}')
  return folder


def model_table(folder, blocks, random=0):
  """Writes ``metrics.csv`` of a model stage.

  Args:
    folder: the run folder.
    blocks: ``(training points, returns)`` of each fit; as in a run, the last row of a block
      reports the next fit already.
    random: number of random rollouts before.
  """
  errors = [f"model/error_{k}" for k in (1, 5, 10, 50, 100)]
  head = ["step", "random", "return", "model/rows", "model/loss_old", "model/loss_new", *errors]
  lines, step = [",".join(head)], 0
  for _ in range(random):
    step += 10
    lines.append(f"{step},1,-9" + "," * (len(head) - 3))
  for i, (_, returns) in enumerate(blocks):
    for j, value in enumerate(returns):
      step += 10
      fit = min(i + (j == len(returns) - 1), len(blocks) - 1)
      numbers = [blocks[fit][0], 1 / (fit + 1), fit and 2 / fit, *np.arange(1, 6) * (fit + 1)]
      lines.append(",".join(map(str, (step, 0, value, *numbers))))
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def trpo_run(folder, batch, returns, envs=2):
  """Writes a run of TRPO whose batches have these mean returns."""
  run_folder(folder, config={"batch": batch})
  lines = ["step,random,return"]
  for i, mean in enumerate(returns):
    for j in range(envs):
      step = (i + 1) * batch - envs + 1 + j
      lines.append(f"{step},0,{mean + 2 * j - envs + 1}")
  (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def drawn_figures(monkeypatch):
  """Returns a list that receives each figure that is drawn."""
  found, real = [], figures.write_figure

  def write(figure, path):
    found.append(figure)
    return real(figure, path)

  monkeypatch.setattr(figures, "write_figure", write)
  return found
