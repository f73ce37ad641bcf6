"""Shows one open-loop prediction against the truth, for each dimension of the observation."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.command_line import outputs
from experiments.diagnose.measurements import PARTICLES
from mbrl_jax.planners.evaluate import make_predict
from mbrl_jax.runtime.rendering.figures import COLOURS, make_panels, save_figure
from mbrl_jax.types import Dynamics, Key, Params

COLUMNS = ("step", "dimension", "true", "predicted", "low", "high")
LEVELS = (0.1, 0.9)
"""Quantiles of the particles that bound the band."""
NARROWEST = 1e-4
"""Least height of a panel, in units of the observation."""


def predict(
  dynamics: Dynamics, params: Params, obs: np.ndarray, actions: np.ndarray, key: Key
) -> np.ndarray:
  """Predicts observations under given actions.

  Args:
    dynamics: learned, over observations.
    params: of the dynamics.
    obs: the first observation ``[O]``.
    actions: ``[H, A]``.
    key: typed key.

  Returns:
    Observations after each action ``[H, P, O]``.
  """
  particles = -(-PARTICLES // dynamics.slices) * dynamics.slices
  roll = jax.jit(make_predict(dynamics, particles=particles))
  return np.asarray(roll(params, jnp.asarray(obs), jnp.asarray(actions), key))[1:]


def draw(
  path: Path, predicted: np.ndarray, truth: np.ndarray, repeat: int = 1, title: str = ""
) -> Path:
  """Draws the particles' mean and band, and the truth, in a panel for each dimension.

  Args:
    path: the PNG file.
    predicted: ``[H, P, O]``.
    truth: ``[H, O]``.
    repeat: control steps between two of them.
    title: of the figure.
  """
  steps = repeat * np.arange(1, len(truth) + 1)
  mean, (low, high) = predicted.mean(1), np.quantile(predicted, LEVELS, axis=1)
  figure, panels = make_panels(truth.shape[1], title)
  for i, axes in enumerate(panels):
    axes.plot(steps, truth[:, i], color="black", label="true")
    axes.plot(steps, mean[:, i], "--", color=COLOURS[0], label="predicted, open loop")
    axes.fill_between(steps, low[:, i], high[:, i], color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.set(xlabel="control steps ahead", ylabel=f"observation {i}")
    bottom, top = axes.get_ylim()
    if top - bottom < NARROWEST:  # rounding is no difference
      middle = (bottom + top) / 2
      axes.set_ylim(middle - NARROWEST / 2, middle + NARROWEST / 2)
  return save_figure(figure, panels[0], path)


def write(path: Path, predicted: np.ndarray, truth: np.ndarray, repeat: int = 1) -> Path:
  """Writes what ``draw`` shows as a CSV file, a row for each step and dimension."""
  mean, (low, high) = predicted.mean(1), np.quantile(predicted, LEVELS, axis=1)
  rows = []
  for t, i in np.ndindex(truth.shape):
    values = (truth[t, i], mean[t, i], low[t, i], high[t, i])
    cells = (repeat * (t + 1), i, *(f"{value:.6g}" for value in values))
    rows.append(dict(zip(COLUMNS, cells, strict=True)))
  return outputs.write_csv(path, COLUMNS, rows)
