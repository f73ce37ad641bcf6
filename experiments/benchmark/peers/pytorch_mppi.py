"""Commands the pendulum with pytorch_mppi (PyPI ``pytorch-mppi``) for the benchmark.

Its public class ``MPPI`` over the equations of ``envs.tasks.analytic.pendulum`` in torch, in
float32. Run by ``experiments.benchmark --peer=pytorch_mppi``, in any Python that has it.
"""

from __future__ import annotations

import math

import numpy as np

from experiments.benchmark.peers import protocol, swingup

INSTALL = "python -m experiments.benchmark.peers.install pytorch_mppi"


def _dynamics(state, action):
  """Moves states ``[K, 2]`` by one step."""
  import torch

  theta, speed = state[:, :1], state[:, 1:]
  gravity = 1.5 * swingup.GRAVITY * torch.sin(theta)
  speed = speed + swingup.DT * (gravity + 3.0 * action)
  speed = torch.clamp(speed, -swingup.MAX_SPEED, swingup.MAX_SPEED)
  return torch.cat((theta + swingup.DT * speed, speed), dim=1)


def _cost(state, action):
  """Charges states ``[K, 2]``."""
  import torch

  theta, speed = state[:, 0], state[:, 1]
  wrapped = theta - 2 * math.pi * torch.round(theta / (2 * math.pi))
  return wrapped**2 + 0.1 * speed**2


class Jobs:
  """What this worker holds between requests."""

  def setup_mppi(self, samples: int, horizon: int) -> dict:
    """Builds the controller and lets it take a first step."""
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
    self._command(np.zeros(2, np.float32))
    return {"compile_seconds": 0.0}

  def _command(self, state: np.ndarray) -> float:
    import torch

    with torch.no_grad():
      return float(self.controller.command(state))

  def episode(self) -> dict:
    """Commands one episode."""
    self.controller.reset()
    return swingup.episode(self._command)

  def info(self) -> dict:
    """Reports versions, and so whether pytorch_mppi is there at all."""
    from importlib.metadata import PackageNotFoundError, version

    try:
      versions = {name: version(name) for name in ("pytorch-mppi", "torch")}
    except PackageNotFoundError as error:
      raise ImportError(
        f"{error}. Install pytorch_mppi with\n  {INSTALL}\n"
        "and pass --peer_python=peers/pytorch_mppi/bin/python to the benchmark."
      ) from error
    return {"name": "pytorch_mppi", **versions}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_mppi", "episode", "info")})
