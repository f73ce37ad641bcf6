"""What arrays, keys and pytrees are called."""

from __future__ import annotations

from typing import Any

import jax

Array = jax.Array
Key = jax.Array
Params = Any
State = Any
Metrics = dict[str, Any]
