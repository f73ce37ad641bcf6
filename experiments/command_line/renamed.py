"""Names of config fields in version 0.1.

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
"""Current names by those of version 0.1; a part (``world``) stands for all of its fields."""


def new_name(name: str) -> str | None:
  """Returns the current name of a field of version 0.1, ``None`` if it has not changed."""
  for old, new in NAMES.items():
    if name == old or name.startswith(f"{old}."):
      return new + name.removeprefix(old)
  return None


def old_names(names: Iterable[str]) -> dict[str, str]:
  """Returns the rows of the table that apply to any of ``names``."""
  matches = lambda old: any(name == old or name.startswith(f"{old}.") for name in names)
  names = list(names)
  return {old: new for old, new in NAMES.items() if matches(old)}
