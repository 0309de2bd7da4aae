"""The archive for Gradescope's autograder, and what runs there.

The archive holds the library without its data, the class's seed, ``setup.sh`` and
``run_autograder``; Gradescope runs the latter as root in a container, once for each submission.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

from ..handing_out import manifest
from ..handing_out.manifest import Assignment
from ..handing_out.material import Material
from ..handing_out.sources import PACKAGE
from ..walls import probe, sandbox
from ..walls.limits import Limits
from . import reports
from .cohort import Setting
from .grading import Grader
from .submissions import read

_SETUP = """#!/usr/bin/env bash
# Prepare the container: Python 3.11 or later, and NumPy.
set -euo pipefail
python=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  apt-get update
  apt-get install -y python3.11 python3.11-venv
  python=python3.11
fi
"$python" -m venv /autograder/venv
/autograder/venv/bin/pip install "numpy>=2.2"
"""

_RUN = """#!/usr/bin/env bash
# Grade one submission.
autograder=${{AUTOGRADER:-/autograder}}
cd "$autograder/source"
exec "${{PYTHON:-$autograder/venv/bin/python}}" -B -m minisparse.classroom.grading.gradescope {id} \\
  "$autograder/submission" "$autograder/results/results.json"
"""

_SETTING = "class.json"
_TIME = (2020, 1, 1, 0, 0, 0)  # the same archive for the same contents


def archive(assignment: Assignment, seed: int) -> bytes:
    """Return the archive to upload.

    Parameters
    ----------
    assignment : Assignment
    seed : int
    """
    files = {
        "setup.sh": _SETUP.encode(),
        "run_autograder": _RUN.format(id=assignment.id).encode(),
        _SETTING: json.dumps({"assignment": assignment.id, "seed": seed}).encode(),
    }
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".toml") and path.is_file():
            files[f"minisparse/{path.relative_to(PACKAGE).as_posix()}"] = path.read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as into:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _TIME)
            mode = 0o755 if "." not in name or name == "setup.sh" else 0o644
            info.external_attr = (0o600 if name == _SETTING else mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            into.writestr(info, content)
    return out.getvalue()


def autograde(id: str, submitted: Path, results: Path, seed: int) -> None:
    """Grade the submission in a folder and write results.json."""
    sandbox.guard_grader()
    material, limits = Material(manifest.load(id)), Limits()
    setting = Setting(material, seed, limits, tuple(probe.statements(probe.probe())))
    submission = read("submission", submitted, material.assignment)
    with Grader(material, seed, limits) as grader:
        grade = grader.grade(submission)
    extra = setting.extra(submission) | {"notes": list(grade.notes)}
    reports.write(results, reports.as_json(reports.results(grade, extra, setting.walls)))


def main(arguments: list[str]) -> int:
    """Run in the container; whatever goes wrong there, Gradescope gets a result."""
    id, submitted, results = arguments
    try:
        seed = int(json.loads(Path(_SETTING).read_text(encoding="utf-8"))["seed"])
        autograde(id, Path(submitted), Path(results), seed)
    except Exception as error:  # noqa: BLE001  (whatever it is, a student must hear of it)
        what = f"{type(error).__name__}: {error}"
        output = f"The autograder could not work; tell your instructor. {what}"
        reports.write(Path(results), reports.as_json({"score": 0, "output": output}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
