"""Short runs of every algorithm reproduce their recorded numbers.

Bit for bit on the recording machine, see ``golden_runs``; on others counts are equal and
computed values close.
"""

import csv

import golden_runs
import numpy as np
import pytest

COUNTS = ("step", "episode", "random", "trial", "length", "seed")


def columns(rows):
  head, *body = rows
  return dict(zip(head, zip(*body, strict=True), strict=True))


@pytest.mark.optimised
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in golden_runs.NAMES if name.endswith("_1")])
def test_a_run_reproduces_its_recorded_numbers(tmp_path, name):
  golden_runs.train(name, tmp_path / name)
  found = golden_runs.tables(tmp_path / name)
  if not golden_runs.compare(name, found):
    return
  for file in ("metrics.csv", "evaluations.csv"):
    path = golden_runs.FOLDER / name / file
    if not path.exists():
      assert file not in found
      continue
    golden, now = columns(list(csv.reader(path.open()))), columns(found[file])
    for column, values in golden.items():
      if column in COUNTS:
        assert now[column] == values, (file, column)
      numbers = [[float(x or "nan") for x in row] for row in (now[column], values)]
      np.testing.assert_allclose(*numbers, rtol=0.02, atol=0.02, err_msg=f"{file}: {column}")


def test_every_run_is_recorded():
  for name in golden_runs.NAMES:
    folder = golden_runs.FOLDER / name
    assert (folder / "metrics.csv").exists() and (folder / "leaves.csv").exists(), name
    assert golden_runs.compare(name, {}), f"{name}: an empty run compares equal"
