"""Lists the package versions and the machine that a run is made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import jax

PACKAGES = [
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "chex",
  "numpy",
  "scipy",
  "mujoco",
  "mujoco-mjx",
  "brax",
  "matplotlib",
  "tensorboardX",
  "mediapy",
  "rich",
  "absl-py",
]


def versions() -> dict[str, Any]:
  """Returns package versions and the kind of machine; no host name, user name or path."""
  # Not from metadata, which an editable installation does not update.
  own = sys.modules["mbrl_jax"].__version__
  packages: dict[str, str | None] = {"mbrl-jax": own}
  for name in PACKAGES:
    try:
      packages[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      packages[name] = None
  return {
    "python": platform.python_version(),
    "packages": packages,
    "system": platform.system(),
    "machine": platform.machine(),
    "processors": os.cpu_count(),
    "backend": jax.default_backend(),
    "devices": [device.device_kind for device in jax.devices()],
  }
