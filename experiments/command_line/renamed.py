"""Names that config fields had in version 0.1.

========================= ==================================
version 0.1               now
========================= ==================================
``agent.repeat``          ``agent.updates_per_step``
``copies``                ``samples``
``imagined``              ``model_buffer_size``
``model.inducing``        ``model.inducing_points``
``planner.base``          ``planner.control_cost``
``planner.decay``         ``planner.sample_decay``
``planner.effective``     ``planner.ess_fraction``
``planner.exponent``      ``planner.noise_exponent``
``planner.keep``          ``planner.keep_fraction``
``planner.spread``        ``planner.noise_scale``
``lookahead.spread``      ``lookahead.noise_scale``
``ratio``                 ``real_ratio``
``ratio_schedule``        ``real_ratio_schedule``
``rollouts``              ``rollout_batch_size``
``world.*``               ``world_model.*``
========================= ==================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ROW = re.compile(r"^``([\w.]+?)(?:\.\*)?``\s+``([\w.]+?)(?:\.\*)?``$", re.M)
NAMES: dict[str, str] = dict(_ROW.findall(__doc__ or ""))
"""Today's names by those of version 0.1; a part with fields stands for all of them."""


def new_name(name: str) -> str | None:
  """Returns what a field of version 0.1 is called now, ``None`` if its name did not change."""
  for old, new in NAMES.items():
    if name == old or name.startswith(f"{old}."):
      return new + name.removeprefix(old)
  return None


def old_names(names: Iterable[str]) -> dict[str, str]:
  """Returns today's name of each of ``names`` that is one of version 0.1."""
  found = {name: new_name(name) for name in names}
  return {old: new for old, new in found.items() if new is not None}
