"""Matrix products in full float32 precision.

Accelerators multiply float32 in bfloat16 or tf32 by default. The configuration decides for
nets; actions, states, returns and statistics need full precision.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
