"""`make bench` on a handful of guests: it runs from end to end, what it writes can be read, and its checks can fail."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import handmade, results
from benchmarks.__main__ import main
from benchmarks.byhand_rules import written
from benchmarks.measure import Measure, Mismatch, Pair, Result, Skipped, at_most, faster, grows, measured
from benchmarks.plot import drawn
from benchmarks.results import keep, printed, read


def a_measure(bar=None, **pair) -> Measure:
    @contextmanager
    def prepare():
        yield Pair(**{"ours": lambda: 2.0, "opponent": lambda: 4.0, **pair})

    return Measure("it", "it against another", bar, prepare, "another")


@pytest.mark.parametrize(
    ("bar", "ours", "others", "verdict"),
    [
        (at_most(1.5), 3.0, 2.0, "met"),
        (at_most(1.4), 3.0, 2.0, "MISSED"),
        (at_most(1, plus=1), 3.0, 2.0, "met"),
        (at_most(1, plus=0.9), 3.0, 2.0, "MISSED"),
        (at_most(1, over=3.1), 3.0, 2.0, "met"),
        (at_most(0, plus=2.9), 3.0, 2.0, "MISSED"),
        (faster(4), 0.5, 2.0, "met"),
        (faster(4.1), 0.5, 2.0, "MISSED"),
        (grows(1.01), 10.0, 1.0, "met"),
        (grows(0.99), 10.0, 1.0, "MISSED"),
        (None, 3.0, 2.0, ""),
    ],
)
def test_a_bar_is_held_against_the_rounds_own_ratios(bar, ours, others, verdict):
    assert measured(a_measure(bar, ours=lambda: ours, opponent=lambda: others)).verdict == verdict


def test_one_odd_round_does_not_decide():
    figures = iter([2.0, 2.0, 2.0, 90.0, 2.0, 2.0])
    assert measured(a_measure(at_most(1), ours=lambda: next(figures))).verdict == "met"


def test_the_two_take_turns_and_each_begins_from_the_same_state():
    calls: list[str] = []
    pair = {side: lambda side=side: calls.append(side) for side in ("ours", "opponent", "check", "restore")}
    measured(a_measure(**pair), rounds=2)
    assert calls[0] == "check"
    assert [call for call in calls[1:] if call != "restore"] == [
        "ours",
        "opponent",
        "ours",
        "opponent",
        "opponent",
        "ours",
    ]
    assert calls[2::2] == ["restore"] * 6


def test_sides_that_differ_are_not_timed_and_what_lacks_is_told():
    def differ():
        raise Mismatch("one guest more")

    wrong = measured(a_measure(at_most(1), check=differ))
    assert (wrong.verdict, wrong.ours) == ("WRONG", [])
    assert "one guest more" in printed(wrong)

    def lacks():
        raise Skipped("no server")

    assert measured(a_measure(check=lacks)).verdict == "skipped"


def test_the_figures_of_several_sizes_stand_together(tmp_path: Path):
    its = [a_measure(at_most(1))]
    for size, seconds in ((1_000, 0.5), (10_000, 3.0)):
        first = Result(replace(its[0], id="first", database="sqlite"), [seconds], [seconds / 2])
        keep(tmp_path, size, [first], {"commit": results._commit(), "machine": "this"}, whole=False)
    keep(tmp_path, 10_000, [measured(its[0])], {"commit": results._commit(), "machine": "this"}, whole=False)
    kept = read(tmp_path)
    assert list(kept) == ["1000", "10000"]
    assert list(kept["10000"]["lines"]) == ["first@sqlite", "it"]
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert page.index("10,000 guests") < page.index("1,000 guests")
    assert "**MISSED**" in page
    curves = ET.fromstring(drawn(kept)).iter("{http://www.w3.org/2000/svg}polyline")
    assert [len(curve.attrib["points"].split()) for curve in curves] == [2, 2]
    assert "Measured on commit" not in page


def test_a_figure_of_another_commit_or_machine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for commit, name, on in (
        ("0ld", "zeroth", "a slow one"),
        ("0ld", "first", "a fast one"),
        ("n3w", "second", "a fast one"),
    ):
        monkeypatch.setattr(results, "_commit", lambda commit=commit: commit)
        found = Result(replace(a_measure(at_most(1)), id=name, name=name), [1.0], [2.0])
        keep(tmp_path, 1_000, [found], {"commit": commit, "machine": on}, whole=False)
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| zeroth [1] |" in page
    assert "| first [2] |" in page
    assert "| second |" in page
    assert "1. Measured on commit 0ld, on a slow one.\n2. Measured on commit 0ld.\n" in page


def bench(folder: Path, *only: str) -> dict[str, dict]:
    words = ("--size", "1500", "--databases", "sqlite", "--rounds", "1", "--keep", f"{folder}/kept")
    code = main([*words, "--results", str(folder), "--only", ",".join(only)])
    lines = json.loads((folder / "results.json").read_text(encoding="utf-8"))["1500"]["lines"]
    assert code == int(any(line["verdict"] == "WRONG" for line in lines.values()))
    return lines


def test_a_tiny_bench_runs_and_a_wrong_opponent_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    wanted = ("sql-first@sqlite", "loop-level@sqlite")
    lines = bench(tmp_path, *wanted)
    assert set(lines) == set(wanted)
    assert {line["verdict"] for line in lines.values()} <= {"met", "MISSED"}, lines
    assert all(line["ours"] and line["opponents"] for line in lines.values())

    def spoilt(moment):
        rules = [replace(rule, find=rule.find.replace("f.orders >= 3", "f.orders >= 4")) for rule in written(moment)]
        assert rules != written(moment)
        return rules

    monkeypatch.setattr(handmade, "written", spoilt)
    line = bench(tmp_path, "sql-rule-win-back")["sql-rule-win-back@sqlite"]
    assert line["verdict"] == "WRONG"
    assert "only ours" in line["note"]
    assert "WRONG" in capsys.readouterr().out
