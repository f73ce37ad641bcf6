"""Takes gradient steps of sbx' soft actor-critic (PyPI ``sbx-rl``) for the benchmark.

sbx is Stable-Baselines3's interface over JAX: these are the jobs of ``sb3`` with sbx' public
class ``SAC``, which compiles in the first turn, which is not timed. Run by
``experiments.benchmark --peer=sbx``, in any Python that has it.
"""

from __future__ import annotations

from experiments.benchmark.peers import protocol, sb3


class Jobs(sb3.Jobs):
  """What this worker holds between requests."""

  name, packages = "sbx", ("sbx-rl", "jax")

  def sac(self):
    """Returns the class that is measured."""
    import sbx

    return sbx.SAC


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in sb3.JOBS})
