"""Plans by random shooting in numpy, in the loop order of MBMF's released code.

All candidates go through a step together: one matrix product per layer and step. Dynamics and
reward are those of the task ``swimmer``; the net predicts normalised differences. Imports only
numpy.

Deviations: single precision, as in mbrl_jax, where the released nets are in double precision;
the reward of the task, which is the released cost up to its sign and the factor of the actions.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.benchmark.peers import protocol

OBS_DIM, ACTION_DIM = 16, 2
SPEED = 13
"""Index of the forward velocity of the centre of mass in an observation."""


class Net(NamedTuple):
  """A net of normalised differences, float32.

  Attributes:
    layers: kernel ``[in, out]`` and bias ``[out]`` of each layer; relu between them.
    inputs: mean and scale of its inputs, observation and action ``[O + A]``.
    targets: mean and scale of the differences ``[O]``.
  """

  layers: list[tuple[np.ndarray, np.ndarray]]
  inputs: tuple[np.ndarray, np.ndarray]
  targets: tuple[np.ndarray, np.ndarray]


def draw_net(hidden: Sequence[int]) -> Net:
  """Draws the net with which every library plans; its states stay moderate."""
  rng = np.random.default_rng(0)
  widths = (OBS_DIM + ACTION_DIM, *hidden, OBS_DIM)
  normal = lambda *shape: np.float32(rng.normal(size=shape))
  layers = [
    (normal(a, b) / np.float32(np.sqrt(a)), np.float32(0.1) * normal(b))
    for a, b in itertools.pairwise(widths)
  ]
  uniform = lambda low, high, size: np.float32(rng.uniform(low, high, size))
  return Net(
    layers,
    inputs=(uniform(-0.1, 0.1, widths[0]), uniform(0.5, 2.0, widths[0])),
    targets=(uniform(-0.01, 0.01, OBS_DIM), uniform(0.05, 0.1, OBS_DIM)),
  )


def first_obs() -> np.ndarray:
  """Returns the observation ``[O]`` from which every library plans."""
  return np.linspace(-0.1, 0.1, OBS_DIM, dtype=np.float32)


def differences(net: Net, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
  """Predicts ``next_obs - obs [K, O]`` for ``obs [K, O]`` and ``action [K, A]``."""
  x = (np.concatenate([obs, action], axis=1) - net.inputs[0]) / net.inputs[1]
  for kernel, bias in net.layers[:-1]:
    x = np.maximum(x @ kernel + bias, 0)
  kernel, bias = net.layers[-1]
  return net.targets[0] + net.targets[1] * (x @ kernel + bias)


def best_plan(net: Net, obs: np.ndarray, plans: np.ndarray) -> tuple[np.ndarray, float]:
  """Returns the best of ``plans [K, H, A]`` from ``obs [O]``, and its return."""
  states = np.tile(obs, (len(plans), 1))
  cost = np.zeros(len(plans), np.float32)
  for step in range(plans.shape[1]):
    action = plans[:, step]
    states = states + differences(net, states, action)
    cost += 0.005 * np.square(action).sum(axis=1) - states[:, SPEED]
  best = np.argmin(cost)
  return plans[best], -float(cost[best])


class Jobs:
  """Plans; keeps the net and the random numbers between requests."""

  def setup_plan(self, samples: int, horizon: int, hidden: Sequence[int]) -> dict:
    """Draws the net and plans once."""
    self.net, self.rng = draw_net(hidden), np.random.default_rng(1)
    self.shape = samples, horizon, ACTION_DIM
    self.plan(1)
    return {"compile_seconds": 0.0}

  def plan(self, replans: int) -> dict:
    """Plans so many times with new candidates; returns the seconds of one."""
    obs, value = first_obs(), 0.0
    start = time.perf_counter()
    for _ in range(replans):
      candidates = self.rng.uniform(-1, 1, self.shape).astype(np.float32)
      value = best_plan(self.net, obs, candidates)[1]
    seconds = (time.perf_counter() - start) / replans
    return {"seconds": seconds, "finite": bool(np.isfinite(value))}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_plan", "plan")})
