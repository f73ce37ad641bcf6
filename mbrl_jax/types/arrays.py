"""Type aliases for arrays, keys and pytrees."""

from __future__ import annotations

from typing import Any

import jax

Array = jax.Array
Key = jax.Array
Noise = Any
"""One sample of a dynamics' noise, a pytree drawn by ``Dynamics.noise``."""
KeyOrNoise = Key | Noise
"""Last argument of a ``StepFn``: a typed key or a pre-drawn noise sample."""
Params = Any
"""Pytree of parameters."""
State = Any
"""Pytree of the state of a ``Dynamics``; for learned models the observation."""
Metrics = dict[str, Any]
"""Arrays to log, by name."""
