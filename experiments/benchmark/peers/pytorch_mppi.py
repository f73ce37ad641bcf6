"""Controls the pendulum with pytorch_mppi (PyPI ``pytorch-mppi``) for the benchmark.

Uses its public class ``MPPI`` with the equations of ``envs.tasks.analytic.pendulum`` in torch
and float32. Run by ``experiments.benchmark --peer=pytorch_mppi``, in a Python in which it is
installed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol, swingup, versions

VENV = "pytorch_mppi"
"""Virtual environment of ``peers.install``."""


def _dynamics(state: Any, action: Any) -> Any:
  """Returns the next states ``[K, 2]`` of states ``[K, 2]`` and torques ``[K, 1]``."""
  import torch

  theta, speed = state[:, :1], state[:, 1:]
  gravity = 1.5 * swingup.GRAVITY * torch.sin(theta)
  speed = speed + swingup.DT * (gravity + 3.0 * action)
  speed = torch.clamp(speed, -swingup.MAX_SPEED, swingup.MAX_SPEED)
  return torch.cat((theta + swingup.DT * speed, speed), dim=1)


def _cost(state: Any, action: Any) -> Any:
  """Returns the costs ``[K]`` of states ``[K, 2]``."""
  import torch

  theta, speed = state[:, 0], state[:, 1]
  wrapped = theta - 2 * math.pi * torch.round(theta / (2 * math.pi))
  return wrapped**2 + 0.1 * speed**2


class Jobs:
  """Controls the pendulum; keeps the controller between requests."""

  def setup_mppi(self, samples: int, horizon: int) -> dict:
    """Makes the controller and calls it once."""
    import pytorch_mppi
    import torch

    torch.manual_seed(0)
    high = torch.tensor(swingup.MAX_TORQUE)
    self.controller = pytorch_mppi.MPPI(
      _dynamics,
      _cost,
      nx=2,
      noise_sigma=torch.tensor(swingup.VARIANCE),
      num_samples=samples,
      horizon=horizon,
      lambda_=swingup.TEMPERATURE,
      u_min=-high,
      u_max=high,
    )
    self._act(np.zeros(2, np.float32))
    return {"compile_seconds": 0.0}

  def _act(self, state: np.ndarray) -> float:
    """Returns the torque at one state ``[2]``."""
    import torch

    with torch.no_grad():
      return float(self.controller.command(state))

  def episode(self) -> dict:
    """Runs one episode."""
    self.controller.reset()
    return swingup.episode(self._act)

  def info(self) -> dict:
    """Returns versions; raises ``ImportError`` if pytorch_mppi is not installed."""
    found = versions.versions("pytorch_mppi", VENV, ("pytorch-mppi", "torch"))
    return {"name": "pytorch_mppi", **found}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mppi", "episode", "info")})
