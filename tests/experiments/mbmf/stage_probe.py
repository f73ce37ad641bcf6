"""Stands in for a stage: logs its call, then writes its output, unless it is told to fail.

python stage_probe.py OUTPUT STATUS [FLAG ...]
"""

import pathlib
import sys

if __name__ == "__main__":
  path, status = pathlib.Path(sys.argv[1]), int(sys.argv[2])
  with open(path.parent / "log", "a") as log:
    print(path.name, *sys.argv[3:], file=log)
  if path.suffix != ".npz":
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text("{}")
    path = path / "complete"
  if not status:
    path.write_text("")
  sys.exit(status)
