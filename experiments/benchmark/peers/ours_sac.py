"""Takes gradient steps of mbrl_jax's soft actor-critic for the benchmark."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol, sac_sizes


class Jobs:
  """Trains; keeps the learners between requests."""

  def setup_sac(self, seeds: int, steps: int, precision: str = "float32") -> dict:
    """Fills the buffer, compiles and takes the first steps."""
    import jax
    import jax.numpy as jnp

    from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig, make_actor_critic
    from mbrl_jax.buffers import ring
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options
    from mbrl_jax.types import EnvSpec, Transition

    bound = np.ones(sac_sizes.ACTION_DIM, np.float32)
    never = lambda obs, action, next_obs: jnp.zeros((), bool)
    spec = EnvSpec("none", sac_sizes.OBS_DIM, -bound, bound, 0.05, 1000, never, never)
    config = ActorCriticConfig(
      hidden=sac_sizes.HIDDEN, batch_size=sac_sizes.BATCH, precision=precision
    )
    agent = make_actor_critic(spec, config)
    flags = jnp.zeros(sac_sizes.ROWS, bool)
    rows = Transition(**sac_sizes.transitions(), terminated=flags, truncated=flags)
    rows = jax.tree.map(jnp.asarray, rows)
    count = jnp.int32(sac_sizes.ROWS)
    buffer = ring.Ring(rows, jnp.int32(0), count)

    def learn(state: Any, buffer: Any, key: Any) -> Any:
      sample = lambda key: ring.sample(buffer, key, sac_sizes.BATCH)
      return agent.update(state, sample, key, True, jnp.int32(steps), steps)

    keys = jax.random.split(jax.random.key(0), seeds)
    if seeds == 1:
      state, buffers, key = agent.init(keys[0]), buffer, keys[0]
    else:
      learn, state, key = jax.vmap(learn), jax.vmap(agent.init)(keys), keys
      buffers = jax.tree.map(lambda x: jnp.broadcast_to(x, (seeds, *jnp.shape(x))), buffer)
    jitted = jax.jit(learn, compiler_options=compiler_options())
    self.state, self.buffers, self.key = state, buffers, key
    self.program, seconds = compile_ahead(jitted, state, buffers, key)
    self.learn()
    return {"compile_seconds": seconds}

  def learn(self) -> dict:
    """Takes the gradient steps of one round."""
    start = time.perf_counter()
    self.state, metrics = self.program(self.state, self.buffers, self.key)
    loss = np.asarray(metrics["q_loss"])
    return {"seconds": time.perf_counter() - start, "finite": bool(np.isfinite(loss).all())}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_sac", "learn")})
