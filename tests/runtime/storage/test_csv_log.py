"""Reading tables: errors name the file, the line and the column."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from mbrl_jax.runtime.storage.csv_log import Table, evaluations, read_table
from mbrl_jax.runtime.storage.files import RunFolderError

GOOD = "step,seed,random,return\n10,0,1,-3.5\n10,1,1,nan\n20,0,0,1e-7\n20,1,0,\n"


def test_a_valid_table_is_read(tmp_path):
  path = tmp_path / "t.csv"
  path.write_bytes(GOOD.replace("\n", "\r\n").encode())
  rows = read_table(path)
  assert [row["step"] for row in rows] == [10, 10, 20, 20]
  assert rows[2] == {"step": 20, "seed": 0, "random": 0, "return": 1e-7}
  assert "return" not in rows[3]


DAMAGE = [
  (GOOD, "", "line 1: not the header"),
  (GOOD, "step,retu", "line 1: not the header"),
  ("step,seed", "stap,seed", "line 1: not the header"),
  ("random,return", "return,return", "line 1: not the header"),
  ("-3.5", "-3.x", r"line 2: return is '-3\.x', not a number"),
  ("20,0,0,1e-7", "20,0,1e-7", "line 4: 3 cells, expected 4 columns"),
  ("20,0,0,1e-7", "20,0,0,1e-7,8", "line 4: 5 cells, expected 4 columns"),
  ("20,0,0", ",0,0", "line 4: 'step' is missing"),
  ("20,0,0", "-20,0,0", "line 4: step is '-20', not a non-negative integer"),
  ("20,0,0", "20.5,0,0", "line 4: step is '20.5', not a non-negative integer"),
  ("20,0,0", "inf,0,0", "line 4: step is 'inf', not a non-negative integer"),
  ("10,1,1", "10,x,1", "line 3: seed is 'x', not a non-negative integer"),
  ("20,1,0,\n", "20,1,0,\n10,1,0,3\n", "line 6: step 10 is not after"),
  ("20,1,0,\n", "20,1,0,\n20,1,0,3\n", "line 6: step 20 is not after"),
  ("20,1,0,\n", "20,1,", "line 5: the line is incomplete"),
  ("20,1,0,\n", "\n", "line 5: 0 cells"),
  ("1e-7", "\udcff", "line 4: it contains bytes that are not UTF-8 text"),
  ("1e-7", "\0", "line 4: return is "),
  ("1e-7", "1" * 200_000 + '"', "line 4: 0 cells"),
]


def test_damage_is_located(tmp_path):
  path = tmp_path / "metrics.csv"
  for old, new, message in DAMAGE:
    path.write_bytes(GOOD.replace(old, new).encode(errors="surrogateescape"))
    for read in (lambda: read_table(path), lambda: evaluations(tmp_path)):
      with pytest.raises(RunFolderError, match=message) as error:
        read()
      assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_required_columns_are_checked(tmp_path):
  path = tmp_path / "metrics.csv"
  path.write_text(GOOD)
  with pytest.raises(RunFolderError, match="line 2: 'length' is missing"):
    read_table(path, ("random", "length"))
  with pytest.raises(RunFolderError, match="line 5: 'return' is missing"):
    read_table(path, ("return",))


def test_rows_without_a_checksum_are_read_strictly(tmp_path):
  """As in runs of earlier versions: damaged rows are not dropped."""
  path = tmp_path / "metrics.csv"
  path.write_text(GOOD.replace("1e-7", "x"))
  with pytest.raises(RunFolderError, match="line 4: return is 'x'"):
    Table(path, after=10)
  path.write_text(GOOD + "30,0")
  Table(path, after=10).start()
  assert [row["step"] for row in read_table(path)] == [10, 10]


def test_new_columns_keep_the_table_rectangular(tmp_path):
  table = Table(tmp_path / "t.csv")
  table.write({"step": 1, "a": 0.1})
  table.write({"step": 2, "a": 0.2, "b": 1e-30})
  table.write({"step": 3, "b": float("nan")})
  with open(tmp_path / "t.csv", newline="") as file:
    cells = list(csv.reader(file))
  assert cells[0] == ["step", "a", "b"]
  assert {len(row) for row in cells} == {3}
  assert cells[1] == ["1", "0.1", ""] and cells[3] == ["3", "", "nan"]
  assert read_table(tmp_path / "t.csv")[1] == {"step": 2, "a": 0.2, "b": 1e-30}


def test_floats_are_restored_exactly(tmp_path):
  table = Table(tmp_path / "t.csv")
  values = [*np.random.default_rng(0).normal(size=50) * 1e-8, 1e300, np.inf, -0.5, 3.0]
  for i, value in enumerate(values):
    table.write({"step": i, "a": value})
  assert [row["a"] for row in read_table(tmp_path / "t.csv")] == values
