"""Tables that the pipeline writes at its end."""

from __future__ import annotations

import csv

import standins
from mbmf_files import model_table

from experiments.command_line import cli
from experiments.mbmf import results
from experiments.mbmf.stages import SeedStages


def test_the_table_of_fits_leaves_out_what_was_not_measured(tmp_path):
  """Before any data of the planner its loss is 0; so is an error without a long rollout."""
  model = tmp_path / "seed0" / "model"
  model_table(model, [(30, [1.0, 2.0]), (60, [3.0])])
  table = model / "metrics.csv"
  table.write_text(table.read_text().replace(",5\n", ",0\n"))  # error_100 of the first fit
  written = results.write(tmp_path, [SeedStages(standins.request(tmp_path))], cli.console())
  assert [path.name for path in written][-2:] == ["losses.png", "losses.csv"]
  with open(tmp_path / "losses.csv", newline="") as file:
    first, second = csv.DictReader(file)
  assert first["model/rows"] == "30" and first["model/loss_old"] == "1"
  assert first["model/loss_new"] == first["model/error_100"] == ""
  assert (second["model/loss_new"], second["model/error_100"]) == ("2", "10")
