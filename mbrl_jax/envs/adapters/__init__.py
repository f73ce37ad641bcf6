"""Adapts environments of Gymnasium, Brax and MuJoCo Playground to ``types.Env``, and back.

Each library is imported only when a function that needs it is called.
"""

from mbrl_jax.envs.adapters.brax_env import from_brax
from mbrl_jax.envs.adapters.gymnasium_env import from_gymnasium
from mbrl_jax.envs.adapters.playground_env import from_playground
from mbrl_jax.envs.adapters.to_brax_env import to_brax
from mbrl_jax.envs.adapters.to_gymnasium_env import to_gymnasium

__all__ = ["from_brax", "from_gymnasium", "from_playground", "to_brax", "to_gymnasium"]
