"""Metric files: new columns, truncation, resuming, progress."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console

from mbrl_jax.runtime.devices import compilation
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.storage.metrics import MetricsWriter
from mbrl_jax.runtime.training.progress import Progress, duration


def test_resuming_drops_later_and_incomplete_rows(tmp_path):
  writer = MetricsWriter(tmp_path)
  for step in (10, 20, 30):
    writer.write(step, {"return": step / 3, **({"late": 1.0} if step > 20 else {})})
  writer.close()
  for name in ("metrics.csv", "metrics.jsonl"):
    with open(tmp_path / name, "a") as file:
      file.write("40,1" if name.endswith("csv") else '{"step": 40, "ret')
  writer = MetricsWriter(tmp_path, after=20)
  writer.write(30, {"return": 10.0, "late": 1.0})
  writer.close()
  assert [row["step"] for row in read_table(tmp_path / "metrics.csv")] == [10, 20, 30]
  lines = [json.loads(s) for s in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert lines[-1] == {"step": 30, "return": 10.0, "late": 1.0}
  assert [line["step"] for line in lines] == [10, 20, 30]
  assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_json_lines_have_no_bare_nan(tmp_path):
  writer = MetricsWriter(tmp_path)
  writer.write(1, {"return": float("nan"), "best": float("-inf")})
  writer.close()
  text = (tmp_path / "metrics.jsonl").read_text()
  assert json.loads(text, parse_constant=pytest.fail) == {
    "step": 1,
    "return": None,
    "best": None,
  }


def test_plain_progress_is_one_line_per_trial(tmp_path):
  with open(tmp_path / "out", "w") as file:
    progress = Progress(600, console=rich.console.Console(file=file, soft_wrap=True))
    progress.compiled("the training step", 12.34)
    progress.trials([200], [{"trial": 0, "random": 1, "return": 1.5}], {"seconds": 0.5})
    row = {"trial": 1, "random": 0, "return": 100.25, "best": 100.25}
    progress.trials([400], [row], {"seconds": 2.0, "plans_per_second": 55.5}, 0.001)
    progress.evaluation(450, {"seed": 3, "eval/return": 7.25, "eval/return_std": 0.5})
    progress.close()
  lines = (tmp_path / "out").read_text().splitlines()
  assert lines[0] == "compiled the training step in 12.3 s"
  assert "random" in lines[1] and "best" not in lines[1] and "ETA" not in lines[1]
  for part in (
    "trial   1",
    "400",
    "100.25",
    "model error 0.001",
    "55.5 steps/s",
    "2.0 s",
    "ETA",
  ):
    assert part in lines[2]
  assert lines[3] == "seed 3 eval      | steps     450 | return      7.25 ± 0.50"
  assert len(lines) == 4 and "\x1b" not in "".join(lines)


def test_many_trials_of_one_call_share_a_line(tmp_path):
  with open(tmp_path / "out", "w") as file:
    progress = Progress(600, console=rich.console.Console(file=file, soft_wrap=True))
    rows = [{"seed": 2, "trial": i, "random": 0, "return": float(i)} for i in range(1, 12)]
    progress.trials(range(100, 111), rows, {"seconds": 2.0})
    progress.trials([120, 121], rows[:2], {"seconds": 2.0})
    progress.close()
  many, *few = (tmp_path / "out").read_text().splitlines()
  assert "trial  11 | steps     110" in many and "6.00 in 11 episodes, 1.00 to 11.00" in many
  assert len(few) == 2


def test_progress_shows_the_success_rate_of_tasks_that_define_it(tmp_path):
  with open(tmp_path / "out", "w") as file:
    progress = Progress(600, console=rich.console.Console(file=file, soft_wrap=True))
    rows = [{"trial": i, "random": 0, "return": 1.0, "success": i % 3 == 0} for i in range(12)]
    rows[-1] |= {"eval/return": 2.0, "eval/success": 0.5}
    progress.trials(range(12), rows, {"seconds": 2.0})
    progress.evaluation(450, {"eval/return": 7.25, "eval/return_std": 0.5, "eval/success": 0.7})
    progress.close()
  training, evaluation = (tmp_path / "out").read_text().splitlines()
  assert "| success  33% |" in training and "| eval success  50% |" in training
  assert evaluation == "eval      | steps     450 | return      7.25 ± 0.50 | success  70%"


def test_terminal_progress_draws_a_bar(tmp_path):
  with open(tmp_path / "out", "w") as file:
    console = rich.console.Console(file=file, force_terminal=True, width=100)
    progress = Progress(600, console=console)
    progress.advance(300)
    progress.trials([300], [{"trial": 1, "random": 0, "return": 7.0}], {"seconds": 1.0})
    progress.close()
  text = (tmp_path / "out").read_text()
  assert "300/600" in text and "7.00" in text


def test_durations():
  assert [duration(s) for s in (0, 65, 7200, -3)] == ["0:00", "1:05", "2:00:00", "0:00"]


def test_compiler_options_are_accepted_and_shapes_are_checked():
  options = compilation.compiler_options("cpu")
  assert ("xla_cpu_prefer_vector_width" in options) == compilation.has_avx512()
  assert compilation.compiler_options("gpu") == {}
  double = jax.jit(lambda x: 2 * x, compiler_options=compilation.compiler_options())
  compiled, seconds = compilation.compile_ahead(double, jnp.ones(3))
  np.testing.assert_array_equal(compiled(jnp.arange(3.0)), [0, 2, 4])
  assert seconds > 0
  with pytest.raises(TypeError):
    compiled(jnp.ones(4))
