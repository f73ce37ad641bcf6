"""Draws plots and videos of a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rich.console

from experiments import env_schedule
from mbrl_jax.runtime.rendering import plots, training_plot, video
from mbrl_jax.runtime.storage import predictions as prediction_files
from mbrl_jax.runtime.storage import rollouts
from mbrl_jax.runtime.storage.csv_log import evaluations, read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.types import Env, EnvSpec

FANS = 6
"""Particle fans along one episode."""
FPS = 30
"""Target frames per second; control rates reach 500 Hz, so frames are whole steps apart."""


def draw_run(folder: RunFolder, spec: EnvSpec, out: Path | None = None) -> list[Path]:
  """Draws learning curve, training, model error and, if stored, the last predictions."""
  if not folder.metrics.exists():
    return []
  out, rows = out or folder.plots, read_table(folder.metrics, ("return", "random"))
  title = f"{folder.config()['algo']} on {spec.name}"
  curve = out / "learning_curve.png"
  envs = folder.config().get("envs", 1)
  changes = [c.step for c in env_schedule.parse(folder.config().get("env_schedule", ""))]
  drawn = [plots.learning_curve(curve, rows, title, evaluations(folder.path), envs, changes)]
  drawn.append(draw_training(folder, spec.name, out))
  if plots.curves(rows, "model/mse"):
    drawn.append(plots.model_error(out / "model_error.png", rows, title))
  kept = sorted(folder.predictions.glob("*.npz")) if folder.predictions.is_dir() else []
  return drawn + (draw_predictions(kept[-1], out, spec.dt) if kept else [])


def draw_training(folder: RunFolder, task: str, out: Path | None = None) -> Path:
  """Draws what a run, finished or not, has reported so far; ``task`` is the task's name."""
  rows = read_table(folder.metrics) if folder.metrics.exists() else []
  config, path = folder.config(), (out or folder.plots) / "training.png"
  title, envs = f"{config['algo']} on {task}", config.get("envs", 1)
  return training_plot.training(path, rows, title, evaluations(folder.path), envs)


def draw_predictions(source: Path, out: Path, dt: float) -> list[Path]:
  """Draws the particle fan and the one-step predictions of one episode."""
  predictions, observations = prediction_files.read(source)
  name = source.stem
  every = max(1, len(predictions) // FANS)
  fan = plots.particle_fan(
    out / f"fan_{name}.png", predictions, observations, every=every, dt=dt, title=name
  )
  scatter = plots.predicted_against_true(
    out / f"one_step_{name}.png", predictions[:, 1].mean(axis=1), observations[1:], name
  )
  return [fan, scatter]


def stride_of(dt: float) -> int:
  """Returns the control steps of ``dt`` seconds between two frames."""
  return max(1, int(1 / (FPS * dt)))


def film(path: Path, env: Env, poses: np.ndarray, rewards: np.ndarray, title: str) -> Path:
  """Writes a video of a rollout in real time, captioned with time and return so far."""
  captions = [
    f"{env.spec.dt * (i + 1):.2f} s  return {total:.1f}"
    for i, total in enumerate(np.cumsum(rewards, dtype=np.float64))
  ]
  stride = stride_of(env.spec.dt)
  frames = video.render(env, poses[::stride], title=title, captions=captions[::stride])
  return Path(video.write_video(path, frames, 1.0 / (stride * env.spec.dt)))


def film_last(
  folder: RunFolder, env: Any, seeds: list[int] | None, console: rich.console.Console
) -> list[Path]:
  """Renders the last training rollout; prints the reason if that fails."""
  source = folder.logs(seeds[0] if seeds else None).with_suffix(".npz")
  if not source.exists():
    return []
  logs = rollouts.read(source)
  length = logs["lengths"][-1]
  poses, rewards = logs["poses"][-1, :length], logs["rewards"][-1, :length]
  title = f"{env.spec.name}, step {int(logs['steps'][-1])}"
  console.print(f"rendering the last rollout, {length} steps ...", markup=False)
  try:
    return [film(folder.videos / "last_rollout.mp4", env, poses, rewards, title)]
  except (OSError, RuntimeError, ValueError) as error:
    console.print(f"no video: {error}", markup=False)
    return []
