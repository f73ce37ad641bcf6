"""Writes a report as one self-contained HTML page."""

from __future__ import annotations

import base64
import datetime
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.report import content
from mbrl_jax.runtime.training.progress import duration

KINDS = {".png": "image/png", ".gif": "image/gif", ".mp4": "video/mp4"}
# The policy forbids scripts and network access.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1e; --faint: #6b6b70;
  --line: #d9d9de; --card: #f5f5f7; --link: #2456a6; }
@media (prefers-color-scheme: dark) { :root { --back: #161618; --text: #ececf0;
  --faint: #a0a0a8; --line: #3a3a40; --card: #222226; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
a { color: var(--link); } .faint { color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
img, video { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.pictures { display: grid; gap: 1rem; grid-template-columns:
  repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; } figcaption { color: var(--faint); font-size: 0.85rem; }
details { background: var(--card); border-radius: 8px; padding: 0.6rem 0.9rem;
  margin: 0.6rem 0; }
summary { cursor: pointer; font-weight: 600; }
"""
NUMBERS = ("seeds", "steps", "best", "last", "spread", "success", "time")


def write(
  items: Sequence[content.Item],
  *,
  title: str,
  group: list[str],
  video_bytes: float,
  extras: Sequence[Path] = (),
) -> str:
  """Returns the HTML of the page.

  Args:
    items: the runs.
    title: of the page.
    group: fields of the config that label the curves; empty: the names of the runs.
    video_bytes: maximum size of an embedded video.
    extras: pictures that belong to no run.
  """
  today = datetime.date.today().isoformat()
  success = "; success is the rate in the last evaluation" if _has_success(items) else ""
  body = [
    f"<h1>{text(title)}</h1>",
    f'<p class="faint">{len(items)} runs, {text(today)}. Best and last are mean returns of '
    "evaluations, averaged over seeds; spread is the standard deviation over seeds"
    f"{success}.</p>",
    _table_of_runs(items),
    *_extras(extras),
    *_curves(items, group),
    "<h2>Runs</h2>",
    *(_details(i, item, video_bytes) for i, item in enumerate(items)),
    *_versions(items),
  ]
  return (
    f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    + "\n".join(body)
    + "\n</body>\n</html>\n"
  )


def text(value: Any) -> str:
  """Escapes a value for HTML text and quoted attributes."""
  return html.escape(str(value), quote=True)


def _table_of_runs(items: Sequence[content.Item]) -> str:
  head, rows = ["run", "algorithm", "task", *NUMBERS], []
  if not _has_success(items):
    head.remove("success")
  for i, item in enumerate(items):
    known = item.summary
    link = f'<a href="#run{i}">{text(item.name)}</a>'
    figures = [known.seeds, known.step, known.best, known.last, known.spread]
    cells = [text(known.algo), text(known.task), *map(_number, figures)]
    if _has_success(items):
      cells.append("-" if known.success is None else f"{known.success:.0%}")
    rows.append([link, *cells, text(duration(known.seconds))])
  return "<h2>Table</h2>" + _table(head, rows, numbers=NUMBERS)


def _has_success(items: Sequence[content.Item]) -> bool:
  return any(item.summary.success is not None for item in items)


def _curves(items: Sequence[content.Item], group: list[str]) -> Iterable[str]:
  drawn = content.pictures(items, group)
  if not drawn:
    return
  yield "<h2>Curves</h2>"
  yield (
    '<p class="faint">Interquartile mean of evaluations over seeds with its 95 % stratified '
    "bootstrap interval; the number of seeds is in brackets.</p>"
  )
  for task, picture in drawn.items():
    yield _figure(_image(_data(picture, ".png"), f"curves on {task}"), task)


def _extras(extras: Sequence[Path]) -> Iterable[str]:
  if extras:
    yield "<h2>Pictures</h2>"
  for path in extras:
    yield _figure(_image(_file(path), path.stem), path.stem)


def _details(index: int, item: content.Item, video_bytes: float) -> str:
  parts = [f'<details id="run{index}"><summary>{text(item.name)}</summary>']
  changed = content.differences(item.folder)
  if changed is None:
    parts.append("<p>Unknown algorithm, preset or task; the whole config follows.</p>")
    rows = [[text(name), text(value)] for name, value in item.config.items()]
    parts.append(_table(("field", "value"), rows))
  elif changed:
    rows = [[text(cell) for cell in difference] for difference in changed]
    parts.append(_table(("field", "this run", "its preset"), rows))
  else:
    parts.append("<p>All settings are those of the preset.</p>")
  shown, more = content.plots(item.folder)
  figures = [_figure(_image(_file(path), path.stem), path.stem) for path in shown]
  figures += _video(item, video_bytes)
  if figures:
    parts.append('<div class="pictures">' + "".join(figures) + "</div>")
  if more:
    parts.append(f'<p class="faint">{more} more plots are in plots/ of the run.</p>')
  return "\n".join([*parts, "</details>"])


def _video(item: content.Item, most: float) -> list[str]:
  path = content.video(item.folder)
  if path is None:
    return []
  size = path.stat().st_size
  if size > most:
    note = f"videos/{path.name} ({size / 1e6:.1f} MB) is not embedded"
    return [f'<p class="faint">{text(note)}</p>']
  if path.suffix == ".gif":
    return [_figure(_image(_file(path), path.stem), path.stem)]
  film = f'<video controls muted playsinline src="{_file(path)}"></video>'
  return [_figure(film, path.stem)]


def _versions(items: Sequence[content.Item]) -> Iterable[str]:
  yield "<h2>Versions</h2>"
  for own, names in content.versions(items):
    which = "all runs" if len(names) == len(items) else ", ".join(names)
    packages = own.get("packages", {})
    rest = {name: value for name, value in own.items() if name != "packages"}
    rows = [
      [text(name), text(", ".join(map(str, value)) if isinstance(value, list) else value)]
      for name, value in {**rest, **packages}.items()
      if value is not None
    ]
    table = _table(("what", "version"), rows)
    yield f"<details><summary>{text(which)}</summary>{table}</details>"


def _table(
  head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> str:
  """Returns a table; the cells of ``rows`` are HTML."""
  kinds = [' class="number"' if name in numbers else "" for name in head]
  titles = "".join(
    f"<th{kind}>{text(name)}</th>" for name, kind in zip(head, kinds, strict=True)
  )
  lines = [
    "<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>"
    for row in rows
  ]
  return f'<div class="wide"><table><tr>{titles}</tr>{"".join(lines)}</table></div>'


def _number(value: float) -> str:
  if isinstance(value, int):
    return f"{value:,}"
  return "-" if math.isnan(value) else f"{value:,.1f}"


def _figure(inside: str, caption: str) -> str:
  return f"<figure>{inside}<figcaption>{text(caption)}</figcaption></figure>"


def _image(source: str, description: str) -> str:
  return f'<img src="{source}" alt="{text(description)}">'


def _file(path: Path) -> str:
  return _data(path.read_bytes(), path.suffix)


def _data(content_of: bytes, suffix: str) -> str:
  return f"data:{KINDS[suffix]};base64,{base64.b64encode(content_of).decode()}"
