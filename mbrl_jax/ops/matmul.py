"""Products of matrices with all digits.

Accelerators multiply float32 with the few bits of bfloat16 or tf32 by default. Nets are told by
their configuration whether they may; actions, states, returns and statistics must not.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
