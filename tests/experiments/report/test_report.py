"""A report is one self-contained page about runs, with all text escaped."""

from __future__ import annotations

import base64
import html.parser
import json
import re

import pytest
from absl import flags

from experiments import run_settings
from experiments.command_line.cli import UsageError
from experiments.report import __main__ as report
from mbrl_jax.runtime.storage.run_folder import RunFolderError

NASTY = "<script>alert('x')</script>&\""
PIXEL = base64.b64decode(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
  "gg=="
)
VOID = {"meta", "img", "br"}


class Reader(html.parser.HTMLParser):
  """Collects elements, links and text; checks that all tags are closed."""

  def __init__(self, page):
    super().__init__()
    self.elements, self.links, self.text, self._open = [], [], "", []
    self.feed(page)
    assert self._open == []

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    self.links += [value for name, value in attrs if name in ("src", "href")]
    if tag not in VOID:
      self._open.append(tag)

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    self.text += data


def make_run(folder, *, values=None, task="pendulum", name="mine", **config):
  """Writes the files of a finished run."""
  (folder / "plots").mkdir(parents=True)
  settings = run_settings.make_settings(
    algo="sac",
    env=task,
    preset="cpu",
    physics="auto",
    seed=0,
    seeds=1,
    env_overrides={},
    config_overrides=values or {},
  )
  (folder / "config.json").write_text(json.dumps({**settings, **config}))
  (folder / "versions.json").write_text(
    json.dumps({"python": "3.12", "packages": {"jax": "0.10", name: "1"}, "devices": ["cpu"]})
  )
  (folder / "metrics.csv").write_text("step,random,return\n100,0,1\n200,0,2\n")
  (folder / "evaluations.csv").write_text(
    "step,eval/return,eval/return_std\n100,1,0\n200,7,0\n"
  )
  (folder / "timing.csv").write_text("step,seconds\n100,30\n200,35\n")
  (folder / "plots" / "learning_curve.png").write_bytes(PIXEL)
  return folder


def written(tmp_path, *arguments, fails=False):
  values = flags.FlagValues()
  report.define(values)
  values(["report", *map(str, arguments)])
  call = lambda: report.main(values, {"config": {}, "env": {}})
  if fails:
    with pytest.raises(UsageError) as error:
      call()
    assert "\n" not in str(error.value)
    return str(error.value)
  assert call() == 0
  return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_has_table_curves_plots_and_versions(tmp_path):
  make_run(tmp_path / "a", values={"agent.updates_per_step": 3})
  make_run(tmp_path / "deep" / "b", task="cartpole")
  page = Reader(written(tmp_path, f"--runs={tmp_path}"))
  as_preset = "All settings are those of the preset"
  for words in ("deep/b", "1:05", "agent.updates_per_step", as_preset, "0.10"):
    assert words in page.text, words
  captions = [attrs.get("alt") for tag, attrs in page.elements if tag == "img"]
  assert captions == [
    "curves on pendulum",
    "curves on cartpole",
    "learning_curve",
    "learning_curve",
  ]
  rows = [tag for tag, _ in page.elements if tag == "tr"]
  assert len(rows) >= 3 and "all runs" in page.text


def test_the_table_has_the_success_rate_of_tasks_that_define_it(tmp_path):
  make_run(tmp_path / "a")
  assert "success" not in Reader(written(tmp_path, f"--runs={tmp_path}")).text
  table = "step,eval/return,eval/return_std,eval/success\n100,1,0,1\n200,7,0,0.85\n"
  (make_run(tmp_path / "b") / "evaluations.csv").write_text(table)
  page = Reader(written(tmp_path, f"--runs={tmp_path}")).text
  assert "success" in page and page.count("85%") == 1


def test_the_page_needs_no_network(tmp_path):
  make_run(tmp_path / "a")
  source = written(tmp_path, f"--runs={tmp_path}")
  page = Reader(source)
  assert all(link.startswith(("data:", "#")) for link in page.links) and page.links
  targets = {attrs.get("id") for _, attrs in page.elements}
  assert {link[1:] for link in page.links if link.startswith("#")} <= targets
  assert not re.search(r"https?:|@import|url\(", source)
  assert "script" not in [tag for tag, _ in page.elements]
  names = {attrs.get("name"): attrs.get("content") for tag, attrs in page.elements}
  assert "width=device-width" in names["viewport"]
  assert "prefers-color-scheme: dark" in source and "color-scheme: light dark" in source


def test_all_text_is_escaped(tmp_path):
  run = make_run(tmp_path / "a&b <i>", name=NASTY, algo=NASTY, env=NASTY)
  (run / "plots" / "<b>x.png").write_bytes(PIXEL)
  page = Reader(written(tmp_path, f"--runs={tmp_path}", f"--title={NASTY}"))
  assert not {"script", "i", "b"} & {tag for tag, _ in page.elements}
  assert page.text.count(NASTY) >= 4 and "a&b <i>" in page.text and "<b>x" in page.text
  assert "Unknown algorithm, preset or task" in page.text


def test_small_videos_are_embedded_and_large_ones_are_named(tmp_path):
  run = make_run(tmp_path / "a")
  (run / "videos").mkdir()
  (run / "videos" / "last_rollout.mp4").write_bytes(b"film")
  page = Reader(written(tmp_path, f"--runs={tmp_path}"))
  (film,) = [attrs for tag, attrs in page.elements if tag == "video"]
  assert film["src"] == "data:video/mp4;base64," + base64.b64encode(b"film").decode()
  page = Reader(written(tmp_path, f"--runs={tmp_path}", "--video_mb=0.000001"))
  assert "video" not in [tag for tag, _ in page.elements]
  assert "videos/last_rollout.mp4 (0.0 MB) is not embedded" in page.text


def test_pictures_in_the_searched_folder_come_first(tmp_path):
  make_run(tmp_path / "a")
  (tmp_path / "comparison.png").write_bytes(PIXEL)
  page = Reader(written(tmp_path, f"--runs={tmp_path}"))
  captions = [attrs.get("alt") for tag, attrs in page.elements if tag == "img"]
  assert captions == ["comparison", "curves on pendulum", "learning_curve"]
  assert "Pictures" in page.text


def test_grouped_runs_without_evaluations_stay_in_the_table(tmp_path):
  make_run(tmp_path / "a")
  run = make_run(tmp_path / "b")
  (run / "evaluations.csv").unlink()
  (run / "metrics.csv").unlink()
  page = Reader(written(tmp_path, f"--runs={tmp_path}", "--group=algo"))
  assert "curves on pendulum" in [attrs.get("alt") for _, attrs in page.elements]
  assert "2 runs" in page.text
  rows = re.findall(r"<tr>.*?</tr>", (tmp_path / "report.html").read_text())
  assert ">-</td>" in next(row for row in rows if ">b</a>" in row)


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "--runs is missing"),
    (["--runs={}/no"], "is not a folder"),
    (["--runs={}"], "contains no run"),
  ],
)
def test_folders_without_runs_are_refused_with_one_sentence(tmp_path, words, message):
  (tmp_path / "config.json").write_text("[]")
  assert message in written(tmp_path, *(word.format(tmp_path) for word in words), fails=True)


def test_damaged_files_of_runs_are_errors_and_other_folders_are_ignored(tmp_path):
  run = make_run(tmp_path / "run")
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "config.json").write_text("{")
  written(tmp_path, f"--runs={tmp_path}")
  files = ("config.json", "versions.json", "metrics.csv", "evaluations.csv", "timing.csv")
  for name in files:
    good = (run / name).read_text()
    for text in ("", good[:-2]):
      (run / name).write_text(text)
      with pytest.raises(RunFolderError, match=rf"run/{name}") as error:
        written(tmp_path, f"--runs={tmp_path}")
      assert "\n" not in str(error.value)
    (run / name).write_text(good)
  (run / "versions.json").unlink()
  assert "missing" in Reader(written(tmp_path, f"--runs={tmp_path}")).text
