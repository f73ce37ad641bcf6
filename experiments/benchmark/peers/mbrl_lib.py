"""Does the benchmark's jobs in mbrl-lib (PyPI ``mbrl``), through its own public classes.

Planning is ``TrajectoryOptimizerAgent`` with ``CEMOptimizer`` over a ``ModelEnv``
of a ``OneDTransitionRewardModel`` of a ``GaussianMLP`` ensemble, propagation
``fixed_model`` (TSinf). Training is ``ModelTrainer`` over a ``BootstrapIterator``
without its evaluation passes, so that the work equals PETS' training call.
Run by ``experiments.benchmark --peer=mbrl``, in any Python that has mbrl.
"""

from __future__ import annotations

import time
import types

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.sizes import Sizes, first_obs, transitions

INSTALL = "python -m experiments.benchmark.peers.install mbrl_lib"


def _model(sizes: Sizes):
  """Builds the ensemble with its input normalisation and sin/cos encoding."""
  import mbrl.models
  import torch

  if len(set(sizes.hidden)) != 1:
    raise ValueError(f"mbrl-lib's nets have layers of one width, got hidden={sizes.hidden}")

  def encode(obs):
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


def _batch(sizes: Sizes):
  """Wraps the training set in mbrl-lib's record."""
  import mbrl.types

  obs, action, next_obs = transitions(sizes)
  zeros = np.zeros(sizes.points, np.float32)
  return mbrl.types.TransitionBatch(obs, action, next_obs, zeros, zeros > 0, zeros > 0)


def _cartpole_reward(action, next_obs):
  """The cart-pole reward of PETS on tensors, ``[B, 1]``."""
  import torch

  x = next_obs[:, :1] - 0.6 * torch.sin(next_obs[:, 1:2])
  y = -0.6 * torch.cos(next_obs[:, 1:2]) - 0.6
  return torch.exp(-(x**2 + y**2) / 0.36) - 0.01 * (action**2).sum(1, keepdim=True)


def _speed_reward(action, next_obs):
  """The first number, which stands for the speed, less a charge for the action, ``[B, 1]``."""
  return next_obs[:, :1] - 0.1 * (action**2).sum(1, keepdim=True)


def _encode(setting, lib, x):
  """Parts of an encoded observation; mbrl_jax orders them otherwise, which costs the same."""
  angle = {"cartpole": 1, "halfcheetah": 2}[setting]
  first = 0 if setting == "cartpole" else 1
  turned = x[..., angle : angle + 1]
  return [lib.sin(turned), lib.cos(turned), x[..., first:angle], x[..., angle + 1 :]]


_REWARD = {"cartpole": _cartpole_reward, "halfcheetah": _speed_reward}


class Jobs:
  """What this worker holds between requests."""

  def setup_plan(self, sizes: Sizes, dtype: str = "float32") -> dict:
    """Builds the agent and lets it take a first step."""
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
    """Builds the model and its trainer and lets it train once."""
    import mbrl.models

    self.sizes, self.model, self.batch = sizes, _model(sizes), _batch(sizes)
    self.trainer = mbrl.models.ModelTrainer(self.model, optim_lr=1e-3, weight_decay=1e-4)
    self.fit()
    return {"compile_seconds": 0.0}

  def fit(self) -> dict:
    """Trains for one call on bootstraps drawn anew."""
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
    """Reports versions, and so whether mbrl-lib is there at all."""
    from importlib.metadata import PackageNotFoundError, version

    try:
      versions = {name: version(name) for name in ("mbrl", "torch")}
    except PackageNotFoundError as error:
      raise ImportError(
        f"{error}. Install mbrl-lib with\n  {INSTALL}\n"
        "and pass --peer_python=peers/mbrl_lib/bin/python to the benchmark."
      ) from error
    return {"name": "mbrl-lib", **versions}


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup_plan", "plan", "setup_fit", "fit", "memory", "info")
  protocol.serve({name: getattr(worker, name) for name in names})
