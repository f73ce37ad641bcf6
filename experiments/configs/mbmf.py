"""Presets of MBMF: overrides of the algorithm's defaults by preset and task.

``paper`` has the values of the released configs (Nagabandi et al. 2017) with rollouts
translated into steps:

================== ================ ============== =============================
task               random rollouts  iterations     ``steps``
================== ================ ============== =============================
swimmer            25 x 333         6 x 10 x 333   27 x 333 + 6 x 3330
halfcheetah_mbmf   10 x 1000        7 x 10 x 1000  11 x 1000 + 7 x 10,000
hopper_mbmf        20 x 200         5 x 11         22 x 200 + 5 x 550
ant_mbmf           700 x 1000       2 x 1000       700,000 + 2000
swimmer_follow     200 x 500        1 x 1000       100,000 + 1000
halfcheetah_follow 200 x 1000       1 x 1000       200,000 + 1000
ant_follow         700 x 1000       1 x 1000       700,000 + 1000
================== ================ ============== =============================

Of the 10 or 11 rollouts of an iteration the original trains on all but one; here
``validation_every`` is their number, and there are as many random rollouts more as are then
held out. The original records 20 more random rollouts for validation. The last four tasks fit
their model once, to the random data, of which one episode in 40 is held out.

The hopper's planned rollouts fall after about 50 steps. Its random ones go on after a fall in
the original: collect them with ``--env.end_on_fall=false --env.episode_length=200`` and pass
the file as ``dataset``, with ``steps`` of the planner only; the random actions of a run end
with a fall. Episodes of the ant end early, too: its 700 rollouts take half of those steps.

A plan costs ``samples x horizon`` predictions of the model, at each step 100,000 for the
swimmer, 20,000 for the cheetah, 40,000 for the hopper, 15,000 for the ant (3000 samples, which
its script sets, in place of the 15,000 of its config), and 25,000, 10,000 and 105,000 for the
followers.

``cpu`` is for two cores: the same numbers, but at most 100,000 random steps, and for
``ant_follow`` 3000 samples, those of the original on a straight path.
"""

from __future__ import annotations

from typing import Any


def _numbers(
  init: int, iterations: int, every: int, held: int, fraction: float, noise: float,
  epochs: int, horizon: int, samples: int,
) -> dict[str, Any]:  # fmt: skip
  """Returns the overrides of a row of the released configs."""
  return {
    "steps": init + iterations * every,
    "init_steps": init,
    "update_every": every,
    "validation_every": held,
    "fraction_new": fraction,
    "action_noise": noise,
    "fit.epochs": epochs,
    "planner.horizon": horizon,
    "planner.samples": samples,
  }


PAPER = {
  "any": {},
  "swimmer": _numbers(8991, 6, 3330, 10, 0.9, 0.005, 30, 20, 5000),
  "halfcheetah_mbmf": _numbers(11_000, 7, 10_000, 10, 0.9, 0.005, 60, 20, 1000),
  "hopper_mbmf": _numbers(4400, 5, 550, 11, 0.9, 0.0, 40, 40, 1000),
  "ant_mbmf": _numbers(700_000, 1, 2000, 40, 0.5, 0.0, 20, 5, 3000),
  "swimmer_follow": _numbers(100_000, 1, 1000, 40, 0.0, 0.0, 70, 5, 5000),
  "halfcheetah_follow": _numbers(200_000, 1, 1000, 40, 0.0, 0.005, 40, 10, 1000),
  "ant_follow": _numbers(700_000, 1, 1000, 40, 0.0, 0.0, 60, 15, 7000),
}

CPU = {
  **PAPER,
  "any": {"steps": 10_000, "init_steps": 2000, "update_every": 1000},
  "ant_mbmf": _numbers(100_000, 1, 2000, 40, 0.5, 0.0, 20, 5, 3000),
  "halfcheetah_follow": _numbers(100_000, 1, 1000, 40, 0.0, 0.005, 40, 10, 1000),
  "ant_follow": _numbers(100_000, 1, 1000, 40, 0.0, 0.0, 60, 15, 3000),
}

PRESETS = {"cpu": CPU, "paper": PAPER}
