"""Short runs of every algorithm give the numbers that they gave when they were recorded.

To the bit on the machine that recorded, see ``golden_runs``; on others what is counted is the
same, and what is computed is near. Another jax than the one that recorded rounds otherwise, and
what a policy learns from that ends episodes elsewhere: there only what the episodes of random
actions brought is compared, but of PETS, whose episodes are of one length, all.
"""

import csv

import golden_runs
import jax
import numpy as np
import pytest

COUNTED = ("step", "episode", "random", "trial", "length", "seed")
RECORDED = (0, 10)
"""The jax that recorded."""


def columns(rows):
  head, *body = rows
  return dict(zip(head, zip(*body, strict=True), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in golden_runs.NAMES if name.endswith("_1")])
def test_a_run_is_as_it_was(tmp_path, name):
  golden_runs.train(name, tmp_path / name)
  found = golden_runs.tables(tmp_path / name)
  if not golden_runs.compare(name, found):
    return
  for file in ("metrics.csv", "evaluations.csv"):
    path = golden_runs.FOLDER / name / file
    if not path.exists():
      assert file not in found
      continue
    was, now = columns(list(csv.reader(path.open()))), columns(found[file])
    rows = len(was["step"])
    if jax.__version_info__[:2] != RECORDED and name != "pets_1":
      rows = was["random"].count("1") if "random" in was else 0
    for column, values in was.items():
      if rows < len(was["step"]) and column.startswith("model/"):
        continue
      values, computed = values[:rows], now[column][:rows]
      if column in COUNTED:
        assert computed == values, (file, column)
      numbers = [[float(x or "nan") for x in row] for row in (computed, values)]
      np.testing.assert_allclose(*numbers, rtol=0.02, atol=0.02, err_msg=f"{file}: {column}")


def test_what_is_compared_is_recorded():
  for name in golden_runs.NAMES:
    folder = golden_runs.FOLDER / name
    assert (folder / "metrics.csv").exists() and (folder / "leaves.csv").exists(), name
    assert golden_runs.compare(name, {}), f"{name}: nothing is compared"
