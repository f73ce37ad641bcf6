"""Does the benchmark's jobs in mbrl_jax, through its public functions.

Run by ``experiments.benchmark`` in a process of its own, which imports jax only when the
first job arrives, so that its memory is counted from the process' start.
"""

from __future__ import annotations

import time

import numpy as np

from experiments.peers import protocol


def _count_compilations() -> list[str]:
  """Returns a list that grows by one entry with every program that jax compiles."""
  import jax

  compiled = []

  def listen(event: str, duration: float, **_: object) -> None:
    if event.endswith("backend_compile_duration"):
      compiled.append(event)

  jax.monitoring.register_event_duration_secs_listener(listen)
  return compiled


def _inputs(spec, sizes: protocol.Sizes):
  """Returns the training set as model inputs ``[B, I]`` and targets ``[B, O]``."""
  import jax
  import jax.numpy as jnp

  obs, action, next_obs = protocol.transitions(sizes)
  inputs = jnp.concatenate([jax.vmap(spec.encode)(obs), action], axis=1)
  return inputs, jax.vmap(spec.target)(obs, next_obs)


class Jobs:
  """What this worker holds between requests."""

  def setup_plan(self, sizes: protocol.Sizes, dtype: str = "float32") -> dict:
    """Builds the planner; the first of two steps compiles it."""
    import jax

    import mbrl_jax
    from mbrl_jax.runtime.devices import compiler_options

    spec = mbrl_jax.make_env("cartpole", physics="mujoco").spec
    model = mbrl_jax.make_ensemble("PE", sizes.members, sizes.hidden, precision=dtype)
    dynamics = mbrl_jax.as_dynamics(
      model,
      reward=spec.reward,
      terminated=spec.terminated,
      encode=spec.encode,
      decode=spec.decode,
      propagation="TSinf",
      outputs=spec.obs_dim,
    )
    planner = mbrl_jax.make_planner(
      # Without an epsilon every iteration does its work, as in the peer.
      mbrl_jax.cem(sizes.plans, sizes.elites, epsilon=0.0),
      mbrl_jax.make_evaluate(dynamics, particles=sizes.particles),
      horizon=sizes.horizon,
      action_low=spec.action_low,
      action_high=spec.action_high,
      iterations=sizes.iterations,
    )
    inputs, targets = _inputs(spec, sizes)
    self.compiled = _count_compilations()
    self.params = model.init(jax.random.key(0), inputs, targets)
    self.obs = jax.numpy.asarray([0.1, 0.2, 0.0, 0.0])
    self.plan_state, self.key = planner.init(), jax.random.key(1)
    self.step = jax.jit(planner.plan, compiler_options=compiler_options())
    self.change = jax.jit(lambda params: jax.tree.map(lambda x: 1.01 * x, params))
    jax.block_until_ready(self.change(self.params))
    first, second = self.plan()["seconds"], self.plan()["seconds"]
    return {"compile_seconds": first - second}

  def plan(self, new_params: bool = False) -> dict:
    """Takes one planning step, with other parameters if asked; counts compilations."""
    import jax

    if new_params:
      self.params = jax.block_until_ready(self.change(self.params))
    before = len(self.compiled)
    self.key, key = jax.random.split(self.key)
    start = time.perf_counter()
    out, self.plan_state = self.step(self.params, self.obs, self.plan_state, key)
    action = np.asarray(out.action)
    seconds = time.perf_counter() - start
    finite = bool(np.isfinite(action).all()) and int(out.metrics["nonfinite"]) == 0
    compilations = len(self.compiled) - before
    return {"seconds": seconds, "finite": finite, "compilations": compilations}

  def setup_fit(self, sizes: protocol.Sizes) -> dict:
    """Builds the model and compiles its training call."""
    import jax
    import optax

    import mbrl_jax
    from mbrl_jax.runtime.devices import compile_ahead, compiler_options

    spec = mbrl_jax.make_env("cartpole", physics="mujoco").spec
    model = mbrl_jax.make_ensemble("PE", sizes.members, sizes.hidden, weight_decay=1e-4)
    optimizer = optax.adam(1e-3)
    data = _inputs(spec, sizes)
    params = model.init(jax.random.key(0), *data)

    def train(params, opt_state, key):
      return mbrl_jax.fit(
        model,
        params,
        opt_state,
        *data,
        sizes.points,
        key,
        optimizer=optimizer,
        epochs=sizes.epochs,
        batch_size=sizes.batch,
      )

    opt_state = mbrl_jax.init_optimizer(model, optimizer, params)
    self.trained, self.key = (params, opt_state), jax.random.key(1)
    jitted = jax.jit(train, compiler_options=compiler_options())
    self.train, seconds = compile_ahead(jitted, *self.trained, self.key)
    self.fit()
    return {"compile_seconds": seconds}

  def fit(self) -> dict:
    """Trains for one call on bootstraps drawn anew."""
    import jax

    self.key, key = jax.random.split(self.key)
    start = time.perf_counter()
    result = self.train(*self.trained, key)
    loss = float(result.metrics["loss"])
    seconds = time.perf_counter() - start
    self.trained = result.params, result.opt_state
    return {"seconds": seconds, "loss": loss, "finite": bool(np.isfinite(loss))}

  def physics(self, name: str) -> dict:
    """Lists the engines that a task can be stepped with."""
    import mbrl_jax

    found = []
    for physics in ("analytic", "mujoco", "mjx"):
      try:
        mbrl_jax.make_env(name, physics=physics)
      except ValueError:
        continue
      found.append(physics)
    return {"physics": found}

  def env(self, name: str, physics: str, steps: int = 1000) -> dict:
    """Steps one environment with random actions inside one compiled loop."""
    import jax

    import mbrl_jax
    from mbrl_jax.runtime.devices import compile_ahead, compiler_options

    env = mbrl_jax.make_env(name, physics=physics)
    low, high = env.spec.action_low, env.spec.action_high

    def step(state, key):
      action_key, key = jax.random.split(key)
      action = jax.random.uniform(action_key, low.shape, minval=low, maxval=high)
      state, transition = env.step(state, action, key)
      return state, transition.reward

    def run(key):
      reset_key, key = jax.random.split(key)
      return jax.lax.scan(step, env.reset(reset_key), jax.random.split(key, steps))[1]

    jitted = jax.jit(run, compiler_options=compiler_options())
    compiled, seconds = compile_ahead(jitted, jax.random.key(0))
    jax.block_until_ready(compiled(jax.random.key(0)))
    start = time.perf_counter()
    jax.block_until_ready(compiled(jax.random.key(1)))
    return {"rate": steps / (time.perf_counter() - start), "compile_seconds": seconds}

  def memory(self) -> dict:
    """Reports resident memory in MiB."""
    return protocol.memory_mib()


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup_plan", "plan", "setup_fit", "fit", "physics", "env", "memory")
  protocol.serve({name: getattr(worker, name) for name in names})
