"""Takes gradient steps of sbx' soft actor-critic (PyPI ``sbx-rl``) for the benchmark.

sbx implements Stable-Baselines3's interface in JAX, so the jobs are those of ``sb3`` with sbx'
public class ``SAC``. It compiles in the first round, which is not timed. Run by
``experiments.benchmark --peer=sbx``, in a Python in which it is installed.
"""

from __future__ import annotations

from typing import Any

from experiments.benchmark.peers import protocol, sb3


class Jobs(sb3.Jobs):
  """Trains; keeps the learner between requests."""

  name, packages = "sbx", ("sbx-rl", "jax")

  def sac(self) -> Any:
    """Returns the class to measure."""
    import sbx

    return sbx.SAC


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in sb3.JOBS})
