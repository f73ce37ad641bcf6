"""Short runs of every algorithm give the numbers that they gave when they were recorded.

To the bit on the machine that recorded, see ``golden_runs``; on others what is counted is the
same, and what is computed is near.
"""

import csv

import golden_runs
import numpy as np
import pytest

COUNTED = ("step", "episode", "random", "trial", "length", "seed")


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
    for column, values in was.items():
      if column in COUNTED:
        assert now[column] == values, (file, column)
      numbers = [[float(x or "nan") for x in row] for row in (now[column], values)]
      np.testing.assert_allclose(*numbers, rtol=0.02, atol=0.02, err_msg=f"{file}: {column}")


def test_what_is_compared_is_recorded():
  for name in golden_runs.NAMES:
    folder = golden_runs.FOLDER / name
    assert (folder / "metrics.csv").exists() and (folder / "leaves.csv").exists(), name
    assert golden_runs.compare(name, {}), f"{name}: nothing is compared"
