"""Plants each mistake of ``bugs.py`` in a copy of the program and asks the suite: ``make seeded``.

Prints a line a mistake and ends with 1 unless the suite has noticed every one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.seeded.bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]
#: pytest's own code for "tests ran, and some failed": anything else is no answer.
NOTICED = 1
_PARTS = ("engine", "connectors", "tests", "rules", "templates", "config", "cli.py", "pyproject.toml")


def copy(to: Path) -> None:
    """Copy what the suite needs into an empty folder."""
    for name in _PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, to / name)


def plant(root: Path, bug: Bug) -> str:
    """Put the mistake into the copy; give the file's own text, to be put back."""
    file = root / bug.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(bug.old) != 1:
        raise ValueError(f"{bug.what}: its place stands {sound.count(bug.old)} times in {bug.file}")
    file.write_text(sound.replace(bug.old, bug.new), encoding="utf-8")
    return sound


def ask(root: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run these tests of the copy, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)


def main(words: Sequence[str]) -> int:
    """Plant the mistakes whose descriptions contain one of ``words``, or all of them."""
    chosen = [bug for bug in BUGS if not words or any(word in bug.what for word in words)]
    missed = []
    with tempfile.TemporaryDirectory(prefix="regulars-seeded-") as folder:
        root = Path(folder)
        copy(root)
        if (done := ask(root, sorted({test for bug in chosen for test in bug.tests}))).returncode:
            print(f"Nothing was planted yet, and the tests fail already:\n{done.stdout[-2_000:]}")
            return 1  # what fails anyway notices nothing
        for number, bug in enumerate(chosen, start=1):
            began = time.monotonic()
            sound = plant(root, bug)
            done = ask(root, bug.tests)
            (root / bug.file).write_text(sound, encoding="utf-8")
            failed = [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith("FAILED ")]
            if done.returncode != NOTICED:
                missed.append(bug)
            verdict = failed[0].partition(" - ")[0] if failed else f"NOT NOTICED (pytest says {done.returncode})"
            print(f"{number:>3} {bug.what}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mistakes were noticed.")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
