"""Writes the results of an episode: video, curves and summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.analysis import pictures
from experiments.plan.control import Moment
from mbrl_jax.runtime.rendering import plots, video
from mbrl_jax.runtime.rendering.plan_overlay import PlanOverlay
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.csv_log import finite
from mbrl_jax.types import Env


def timing(planned: np.ndarray, *, dt: float, steps: int, busy: float) -> dict[str, float]:
  """Computes the real-time factor and the planning rate.

  Args:
    planned: seconds of each plan; empty if plans were not timed individually.
    dt: seconds of a control step.
    steps: control steps taken.
    busy: seconds of planning and simulating.
  """
  row = {"real_time_factor": dt * steps / busy, "plans_per_second": steps / busy}
  if len(planned):
    # The 99th percentile of the time gives the low rate.
    middle, slow = np.quantile(planned, (0.5, 0.99))
    row |= {"plan_seconds_p50": middle, "plan_seconds_p99": slow}
    row |= {"plans_per_second": 1 / middle, "plans_per_second_p99": 1 / slow}
  return {name: float(value) for name, value in row.items()}


def lines(returns: list[float], row: dict[str, float], *, dt: float) -> list[str]:
  """Formats the results for the terminal.

  Args:
    returns: of the complete episodes.
    row: result of ``timing`` with ``steps`` and, for timed plans, ``misses``.
    dt: seconds of a control step.
  """
  texts = []
  if returns:
    spread = (
      f" +- {np.std(returns):.2f} over {len(returns)} episodes" if len(returns) > 1 else ""
    )
    texts.append(f"return            {np.mean(returns):.2f}{spread}")
  simulated = dt * row["steps"]
  texts.append(f"real-time factor  {row['real_time_factor']:.2f} ({simulated:.1f} s simulated)")
  if "plan_seconds_p50" in row:
    times = f"{1e3 * row['plan_seconds_p50']:.1f} ms, {1e3 * row['plan_seconds_p99']:.1f} ms"
    rates = f"p50 {row['plans_per_second']:.1f}, p99 {row['plans_per_second_p99']:.1f}"
    texts.append(f"plans per second  {rates} ({times})")
    texts.append(
      f"misses            {row['misses']:.0f} of {row['steps']:.0f} control steps "
      f"(planning took longer than {1e3 * dt:.0f} ms)"
    )
  else:
    texts.append(
      f"plans per second  {row['plans_per_second']:.1f} (whole episode in one program)"
    )
  return texts


def film(path: Path, env: Env, moments: Moment, title: str, trace: str | None) -> Path:
  """Renders a video of an episode with the paths of its plans at the site or body ``trace``."""
  dt, so_far = env.spec.dt, np.cumsum(moments.reward, dtype=np.float64)
  stride = pictures.stride_of(dt)
  captions = [
    f"{dt * i:.2f} s   reward {reward:.3g}   return {total:.1f}"
    for i, (reward, total) in enumerate(zip(moments.reward, so_far, strict=True))
  ]
  shown = jax.tree.map(lambda values: values[::stride], moments)
  traces = None
  if shown.trace_poses.shape[1] > 1:
    traces = PlanOverlay(shown.trace_poses, shown.trace_returns, trace)
  frames = video.render(
    env, shown.pose, title=title, captions=captions[::stride], overlay=traces
  )
  return video.write_video(path, frames, 1.0 / (stride * dt))


def draw(
  path: Path, moments: Moment, seconds: np.ndarray | None, dt: float, title: str
) -> Path:
  """Plots the curves of an episode; ``seconds [T]`` are the planning times."""
  curves = {"reward": moments.reward, "value": moments.value}
  if seconds is not None:
    curves["plan_seconds"] = np.where(moments.iterations > 0, seconds, np.nan)
  return plots.episode_curves(path, curves, dt, title, limit=dt)


def summarise(path: Path, values: dict[str, Any]) -> Path:
  """Writes numbers and settings as JSON, with the device and the version of jax."""
  device = jax.devices()[0]
  about = {"jax": jax.__version__, "device": f"{device.platform} {device.device_kind}"}
  files.write_json(path, _plain(values | about))
  return path


def _plain(value: Any) -> Any:
  if isinstance(value, dict):
    return {name: _plain(item) for name, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(item) for item in value]
  return finite(value) if isinstance(value, float) else value
