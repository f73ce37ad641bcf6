"""Plans and trains with mbrl-lib (PyPI ``mbrl``) for the benchmark.

Planning is ``TrajectoryOptimizerAgent`` with ``CEMOptimizer`` over a ``ModelEnv``
of a ``OneDTransitionRewardModel`` of a ``GaussianMLP`` ensemble, propagation
``fixed_model`` (TSinf). Training is ``ModelTrainer`` over a ``BootstrapIterator``
without evaluation passes, so that the work equals PETS' training call.
Run by ``experiments.benchmark --peer=mbrl``, in a Python in which mbrl is installed.
"""

from __future__ import annotations

import time
import types
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol, versions
from experiments.benchmark.peers.sizes import Sizes, first_obs, transitions

VENV = "mbrl_lib"
"""Virtual environment of ``peers.install``."""


def _model(sizes: Sizes) -> Any:
  """Makes the ensemble with input normalisation and sin/cos encoding."""
  import mbrl.models
  import torch

  if len(set(sizes.hidden)) != 1:
    raise ValueError(f"mbrl-lib's nets have layers of equal width, got hidden={sizes.hidden}")

  def encode(obs: Any) -> Any:
    lib = np if isinstance(obs, np.ndarray) else torch
    parts = _encode(sizes.setting, lib, obs)
    return np.concatenate(parts, -1) if lib is np else torch.cat(parts, -1)

  nets = mbrl.models.GaussianMLP(
    in_size=sizes.features,
    out_size=sizes.obs_dim,
    device="cpu",
    num_layers=len(sizes.hidden),
    ensemble_size=sizes.members,
    hid_size=sizes.hidden[0],
    propagation_method="fixed_model",
    learn_logvar_bounds=True,
    activation_fn_cfg={"_target_": "torch.nn.SiLU"},
  )
  return mbrl.models.OneDTransitionRewardModel(
    nets, target_is_delta=True, normalize=True, learned_rewards=False, obs_process_fn=encode
  )


def _batch(sizes: Sizes) -> Any:
  """Returns the training set as mbrl-lib's ``TransitionBatch``."""
  import mbrl.types

  obs, action, next_obs = transitions(sizes)
  zeros = np.zeros(sizes.points, np.float32)
  return mbrl.types.TransitionBatch(obs, action, next_obs, zeros, zeros > 0, zeros > 0)


def _cartpole_reward(action: Any, next_obs: Any) -> Any:
  """Returns PETS' cart-pole reward ``[B, 1]`` as a tensor."""
  import torch

  x = next_obs[:, :1] - 0.6 * torch.sin(next_obs[:, 1:2])
  y = -0.6 * torch.cos(next_obs[:, 1:2]) - 0.6
  return torch.exp(-(x**2 + y**2) / 0.36) - 0.01 * (action**2).sum(1, keepdim=True)


def _speed_reward(action: Any, next_obs: Any) -> Any:
  """Returns the first coordinate, the speed, minus an action cost ``[B, 1]``."""
  return next_obs[:, :1] - 0.1 * (action**2).sum(1, keepdim=True)


def _encode(setting: str, lib: Any, x: Any) -> list[Any]:
  """Returns the parts of an encoded observation; mbrl_jax orders them differently."""
  angle = {"cartpole": 1, "halfcheetah": 2}[setting]
  first = 0 if setting == "cartpole" else 1
  theta = x[..., angle : angle + 1]
  return [lib.sin(theta), lib.cos(theta), x[..., first:angle], x[..., angle + 1 :]]


_REWARD = {"cartpole": _cartpole_reward, "halfcheetah": _speed_reward}


class Jobs:
  """Plans and trains; keeps the agent and the model between requests."""

  def setup_plan(self, sizes: Sizes, dtype: str = "float32") -> dict:
    """Makes the agent and takes a first planning step."""
    import mbrl.models
    import mbrl.planning
    import omegaconf
    import torch

    if dtype != "float32":
      raise ValueError(f"the mbrl-lib worker plans in float32, got dtype={dtype!r}")
    model = _model(sizes)
    model.update_normalizer(_batch(sizes))
    spaces = types.SimpleNamespace(observation_space=None, action_space=None)
    model_env = mbrl.models.ModelEnv(
      spaces,
      model,
      lambda action, next_obs: torch.zeros(len(next_obs), 1, dtype=torch.bool),
      _REWARD[sizes.setting],
    )
    search = {
      "_target_": "mbrl.planning.CEMOptimizer",
      "num_iterations": sizes.iterations,
      "elite_ratio": sizes.elites / sizes.plans,
      "population_size": sizes.plans,
      "lower_bound": None,
      "upper_bound": None,
      "alpha": 0.1,
      "device": "cpu",
      "return_mean_elites": True,
      "clipped_normal": False,
    }
    agent = mbrl.planning.TrajectoryOptimizerAgent(
      omegaconf.OmegaConf.create(search),
      action_lb=[-sizes.action_high] * sizes.action_dim,
      action_ub=[sizes.action_high] * sizes.action_dim,
      planning_horizon=sizes.horizon,
    )
    agent.set_trajectory_eval_fn(
      lambda state, plans: model_env.evaluate_action_sequences(plans, state, sizes.particles)
    )
    self.agent, self.obs = agent, first_obs(sizes)
    self.plan()
    return {"compile_seconds": 0.0}

  def plan(self, dtype: str = "float32") -> dict:
    """Takes one planning step."""
    del dtype
    start = time.perf_counter()
    action = self.agent.act(self.obs)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "finite": bool(np.all(np.isfinite(action)))}

  def setup_fit(self, sizes: Sizes) -> dict:
    """Makes the model and its trainer and runs a first training call."""
    import mbrl.models

    self.sizes, self.model, self.batch = sizes, _model(sizes), _batch(sizes)
    self.trainer = mbrl.models.ModelTrainer(self.model, optim_lr=1e-3, weight_decay=1e-4)
    self.fit()
    return {"compile_seconds": 0.0}

  def fit(self) -> dict:
    """Runs one training call on newly drawn bootstraps."""
    from mbrl.util.replay_buffer import BootstrapIterator

    sizes = self.sizes
    start = time.perf_counter()
    self.model.update_normalizer(self.batch)
    data = BootstrapIterator(
      self.batch, sizes.batch, sizes.members, shuffle_each_epoch=True, permute_indices=False
    )
    losses, _ = self.trainer.train(data, num_epochs=sizes.epochs, evaluate=False, silent=True)
    seconds, loss = time.perf_counter() - start, float(losses[-1])
    return {"seconds": seconds, "loss": loss, "finite": bool(np.isfinite(loss))}

  def memory(self) -> dict:
    """Reports resident memory in MiB."""
    return protocol.memory_mib()

  def info(self) -> dict:
    """Returns versions; raises ``ImportError`` if mbrl-lib is not installed."""
    found = versions.versions("mbrl-lib", VENV, ("mbrl", "torch"))
    return {"name": "mbrl-lib", **found}


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup_plan", "plan", "setup_fit", "fit", "memory", "info")
  protocol.serve({name: getattr(worker, name) for name in names})
