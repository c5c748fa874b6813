"""A run in a process of its own, for its memory: ``python -m benchmarks.child HOME`` prints megabytes as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import engine.console.run  # noqa: F401 (what `regulars run` loads is no memory of the run)
from benchmarks.crowd import AS_OF
from engine.database.engines import open_db
from engine.evaluation.runner import run_due
from engine.vocabulary.home import load_home


def main(root: Path) -> None:
    """Open the home, run once, print ``begun``, ``peak`` (MB) and ``matched``."""
    home = load_home(root, os.environ)
    db = open_db(home.config.database_url)
    with db.connect():
        begun = _peak()
    result = run_due(db, home, AS_OF)
    assert result.balanced, "a run that does not balance says nothing"
    print(json.dumps({"begun": begun, "peak": _peak(), "matched": sum(rule.matched for rule in result.rules)}))


def _peak() -> float:
    """The most memory that this process has had: of itself alone, where the system tells."""
    told = Path("/proc/self/status")
    if told.exists():
        line = next(line for line in told.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
