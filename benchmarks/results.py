"""What was measured: a line on the screen, the raw figures in results.json, and the table in results.md."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Result, at_most

FOLDER: Final = Path(__file__).parent
#: Whose versions are told of, where they are installed.
PACKAGES: Final = ("sqlalchemy", "psycopg", "zen-engine", "rule-engine", "business-rules")
WIDTH: Final = 66

Line = dict[str, Any]


def heading() -> str:
    """Give the line above the table on the screen."""
    return f"{'measure':<{WIDTH}}{'figure':>9}  {'bar':<22}{'':<8}{'it':>11}{'opponent':>11}"


def printed(result: Result) -> str:
    """Give a result as a line of the screen."""
    measure = result.measure
    name = f"{measure.name}{f' ({measure.database})' if measure.database else ''}"
    bar = measure.bar.said(measure.unit) if measure.bar else ""
    if result.skipped or result.wrong:
        return f"{name:<{WIDTH}}{'':>9}  {bar:<22}{result.verdict:<8} {result.skipped or result.wrong}"
    ours, theirs = statistics.median(result.ours), statistics.median(result.opponent)
    told = f"{name:<{WIDTH}}{figure(result):>9}  {bar:<22}{result.verdict:<8}"
    return f"{told}{amount(ours, measure.unit):>11}{amount(theirs, measure.unit):>11}"


def figure(result: Result) -> str:
    """Give what is held against the bar."""
    return _figure(result.figure, (result.measure.bar or at_most(1)).kind)


def _figure(value: float, kind: str) -> str:
    if value == float("inf"):
        return "-"
    return f"{value:.2f}" if kind == "grows" else f"{value:.3g}x" if value < 100 else f"{value:,.0f}x"


def amount(value: float, unit: str) -> str:
    """Give seconds or megabytes for a person."""
    if unit == "MB":
        return f"{value:.1f} MB"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def line_of(result: Result) -> Line:
    """Give a result as it stands in results.json."""
    measure = result.measure
    done = not (result.skipped or result.wrong)
    return {
        "name": measure.name,
        "database": measure.database,
        "opponent": measure.opponent,
        "bar": measure.bar.said(measure.unit) if measure.bar else "",
        "kind": (measure.bar or at_most(1)).kind,
        "unit": measure.unit,
        "ours": [round(each, 6) for each in result.ours],
        "opponents": [round(each, 6) for each in result.opponent],
        "figure": round(result.figure, 5) if done and result.figure != float("inf") else None,
        "verdict": result.verdict,
        "note": result.note or result.skipped or result.wrong,
        "commit": _commit(),
    }


def machine(postgresql: str) -> dict[str, str]:
    """Give what it was measured on."""
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} processors ({_processor()}), {_memory()}, {platform.system()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": postgresql,
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def read(folder: Path) -> dict[str, Any]:
    """Give what is kept, by size: ``{"1000000": {"machine": {}, "lines": {key: line}}}``."""
    file = folder / "results.json"
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return kept


def keep(folder: Path, size: int, results: Iterable[Result], on: Mapping[str, str], *, whole: bool) -> dict[str, Any]:
    """Add what was measured to what is kept, in the place of older figures; ``whole`` forgets the size's others."""
    kept = read(folder)
    known = kept.get(str(size), {}).get("machine", {})
    lines = {} if whole else kept.get(str(size), {}).get("lines", {})
    for line in lines.values():
        line.setdefault("machine", known.get("machine", on["machine"]))
    lines |= {result.measure.key: {**line_of(result), "machine": on["machine"]} for result in results}
    if not whole and "none" in on.get("PostgreSQL", "") and any(key.endswith("@postgresql") for key in lines):
        on = {**on, "PostgreSQL": known.get("PostgreSQL", on["PostgreSQL"])}  # of the part that was measured on it
    kept[str(size)] = {"machine": dict(on), "lines": lines}
    kept = {each: kept[each] for each in sorted(kept, key=int)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(table(kept), encoding="utf-8")
    return kept


def table(kept: Mapping[str, Any]) -> str:
    """Give results.md: the largest size first."""
    page = [
        "# What was measured",
        "",
        "Made by `make bench SIZE=...`; what each line means, and how to repeat it, stands in docs/performance.md.",
        "Only ratios count: both sides were measured in turn in one run. Figures are medians.",
        "",
        "![time against size](results.svg)",
    ]
    for size in sorted(kept, key=int, reverse=True):
        page += ["", f"## {int(size):,} guests", "", *_machine(kept[size]["machine"]), *_table(**kept[size])]
    return "\n".join(page) + "\n"


def _machine(on: Mapping[str, str]) -> list[str]:
    return [", ".join(f"{name} {value}" for name, value in on.items()), ""]


def _table(machine: Mapping[str, str], lines: Mapping[str, Line]) -> list[str]:
    """Give the rows, and their notes: a line of another commit or machine than the last one's says so."""
    rows = [
        "| measure | on | figure | bar | | it | opponent | which is |",
        "| --- | --- | ---: | --- | --- | ---: | ---: | --- |",
    ]
    notes: list[str] = []
    for line in lines.values():
        told = [line["note"]] if line["note"] and line["verdict"] not in {"skipped", "WRONG"} else []
        elsewhere = f", on {line['machine']}" if line.get("machine", machine["machine"]) != machine["machine"] else ""
        if elsewhere or line["commit"] != machine["commit"]:
            told.append(f"Measured on commit {line['commit']}{elsewhere}.")
        notes += [note for note in told if note not in notes]
        mark = "".join(f" [{notes.index(note) + 1}]" for note in told)
        verdict = f"**{line['verdict']}**" if line["verdict"] in {"MISSED", "WRONG"} else line["verdict"]
        cells = [f"{line['name']}{mark}", line["database"], *_cells(line, verdict), line["opponent"]]
        rows.append("| " + " | ".join(cells) + " |")
    return rows + [""] * bool(notes) + [f"{number}. {note}" for number, note in enumerate(notes, start=1)]


def _cells(line: Line, verdict: str) -> list[str]:
    if not line["ours"]:
        return ["", line["bar"], f"{verdict}: {line['note']}", "", ""]
    medians = (amount(statistics.median(line[side]), line["unit"]) for side in ("ours", "opponents"))
    found = "-" if line["figure"] is None else _figure(line["figure"], line["kind"])
    return [found, line["bar"], verdict, *medians]


@cache  # as it was when the program was read: the results that it writes do not make another of it
def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=8"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=FOLDER)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _memory() -> str:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{pages / 2**30:.0f} GiB"
