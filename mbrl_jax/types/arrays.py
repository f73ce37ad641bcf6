"""Names for arrays, keys and pytrees."""

from __future__ import annotations

from typing import Any

import jax

Array = jax.Array
Key = jax.Array
Noise = Any
"""One sample of a dynamics' noise, a pytree drawn by ``Dynamics.noise``."""
KeyOrNoise = Key | Noise
"""What a ``StepFn`` takes last: a typed key, or a sample drawn in advance."""
Params = Any
State = Any
Metrics = dict[str, Any]
