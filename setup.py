"""Installs mbrl_jax; tool settings: pyproject.toml, tested versions: constraints.txt."""

from __future__ import annotations

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

# What the programs in experiments/ need besides; `make install` installs it, too.
EXPERIMENTS = ["absl-py", "brax"]
TEST = [
  *EXPERIMENTS,
  "chex",
  "evosax",
  "flatbuffers",
  "gymnasium[mujoco]>=1.0",
  "ml_dtypes",
  "mypy",
  "pytest",
  "pytest-timeout",
  "pytest-xdist",
  "ruff",
]

setup(
  name="mbrl_jax",
  version="0.2.0",
  description="Model-based reinforcement learning and sampling-based MPC in JAX",
  long_description=(HERE / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  license_files=["LICENSE"],
  python_requires=">=3.11,<3.14",
  # experiments/ and tests/ have generic names and run from the checkout: never installed.
  packages=find_packages(include=["mbrl_jax", "mbrl_jax.*"]),
  package_data={
    "mbrl_jax": ["py.typed"],
    "mbrl_jax.envs": ["assets/*.xml"],
    "mbrl_jax.runtime.rendering": ["*.html"],
  },
  # Exactly what mbrl_jax/ imports (tests/meta/test_requirements.py).
  install_requires=[
    "flax",
    "jax>=0.10",
    "matplotlib",
    "mediapy",
    "mujoco>=4.0",
    "mujoco-mjx",
    "numpy",
    "optax",
    "orbax-checkpoint",
    "pillow",
    "rich",
    "scipy",
    "tensorboardX",
  ],
  extras_require={
    "experiments": EXPERIMENTS,
    "test": TEST,
    # Everything optional that runs without an accelerator, for a CI that skips nothing.
    "ci": [
      *TEST,
      "dynamixel-sdk",  # the makers' clients, as references of hardware/'s tests
      "moteus",
      "mujoco-mjx[warp]",
      "playground",
      "pyserial",
      "python-can",
      "ray",
      "stable_baselines3",
      "torch",
      "wandb",
    ],
    "cuda13": ["jax[cuda13]>=0.10"],
    "cuda12": ["jax[cuda12]>=0.10"],
    "tpu": ["jax[tpu]>=0.10"],
    "warp": ["mujoco-mjx[warp]"],
    "brax": ["brax"],
    "evosax": ["evosax>=0.3"],
    "export": ["flatbuffers"],
    "gymnasium": ["gymnasium[mujoco]>=1.0"],
    "playground": ["playground"],
    "hardware": ["pyserial", "python-can"],
    "ray": ["ray"],
    "wandb": ["wandb"],
  },
)
