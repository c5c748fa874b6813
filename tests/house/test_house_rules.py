"""What a linter does not know of our habits (DESIGN, house rules): clocks, SQL text, lengths, secrets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "connectors").rglob("*.py")])
TOP_FOLDERS = ("engine", "rules", "templates", "connectors", "config", "tests", "docs", "benchmarks", ".ci")
TOP_FILES = (
    "cli.py",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "constraints.txt",
    ".gitignore",
)

CLOCKS = {"now", "utcnow", "today"}
TIME_FUNCTIONS = {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime"}
MAIL_CLOCKS = {"formatdate", "make_msgid", "localtime"}
SQL_CLOCKS = {"now", "current_timestamp", "current_date", "current_time", "localtimestamp", "statement_timestamp"}


def shown(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def owner_and_name(node: ast.expr) -> tuple[str, str]:
    """``datetime.datetime.now`` gives ``("datetime", "now")``; a bare name has no owner."""
    if isinstance(node, ast.Attribute):
        owner = node.value
        return (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", ""), node.attr)
    return ("", getattr(node, "id", ""))


def clocks(tree: ast.AST) -> Iterator[str]:
    """Every reading of a clock but the monotonic one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner, name = owner_and_name(node)
            if (
                (owner in {"datetime", "date", "dt"} and name in CLOCKS)
                or (owner == "time" and name in TIME_FUNCTIONS)
                or (owner in {"func", "functions"} and name in SQL_CLOCKS)
                or (owner == "utils" and name in MAIL_CLOCKS)
            ):
                yield f"{node.lineno}: {owner}.{name}"
        elif isinstance(node, ast.ImportFrom):
            forbidden = {"time": TIME_FUNCTIONS, "email.utils": MAIL_CLOCKS, "sqlalchemy.sql.functions": SQL_CLOCKS}
            for each in node.names:
                if each.name in forbidden.get(node.module or "", set()):
                    yield f"{node.lineno}: from {node.module} import {each.name}"


def sql_text(tree: ast.AST) -> Iterator[str]:
    """Every place where a statement is text, or in one database's own words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            if (node.module or "").startswith("sqlalchemy.dialects"):
                yield f"{node.lineno}: {node.module}"
            for each in node.names:
                if each.name in {"text", "literal_column", "TextClause", "DDL"}:
                    yield f"{node.lineno}: {each.name}"
        elif isinstance(node, ast.Call):
            owner, name = owner_and_name(node.func)
            if name == "exec_driver_sql" or (name == "op" and isinstance(node.func, ast.Attribute)):
                yield f"{node.lineno}: {name}()"
            if owner in {"sa", "sqlalchemy"} and name in {"text", "literal_column", "DDL"}:
                yield f"{node.lineno}: {owner}.{name}()"


@pytest.mark.parametrize(
    "line",
    [
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "default=datetime.now",
        "time.time()",
        "from time import time",
        "select(func.now())",
        "select(func.current_timestamp())",
        "email.utils.formatdate()",
        "from email.utils import make_msgid",
    ],
)
def test_every_way_to_read_a_clock_is_recognised(line: str):
    assert list(clocks(ast.parse(line)))


def test_the_monotonic_clock_is_nobodys_business():
    assert not list(clocks(ast.parse("time.monotonic()\nfrom time import monotonic, perf_counter\nself.now\nnow(3)")))


@pytest.mark.parametrize(
    "line",
    [
        "from sqlalchemy import text",
        "sa.text('SELECT 1')",
        "conn.exec_driver_sql('SELECT 1')",
        "column.op('->>')('key')",
        "from sqlalchemy import literal_column",
        "from sqlalchemy.dialects.postgresql import insert",
    ],
)
def test_every_way_to_write_sql_as_text_is_recognised(line: str):
    assert list(sql_text(ast.parse(line)))


@pytest.mark.parametrize("file", PRODUCT, ids=shown)
def test_the_time_is_always_passed_in(file: Path):
    assert not list(clocks(ast.parse(file.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("file", [*PRODUCT, ROOT / "cli.py"], ids=shown)
def test_what_one_database_alone_has_lives_in_engine_database(file: Path):
    if file.is_relative_to(ROOT / "engine" / "database"):
        in_tables = file.name.endswith("_tables.py") or "migrations" in file.parts
        dialects = {"sqlalchemy.dialects", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite"}
        by_file = {
            "engines.py": {"exec_driver_sql()"},
            "bulk.py": {"exec_driver_sql()", *dialects},
            "sql.py": {"op()", "literal_column", *dialects},
            "packed.py": {"literal_column"},
            "compiled.py": {"exec_driver_sql()"},  # what SQLAlchemy has compiled
        }
        allowed = by_file.get(file.name, set()) | ({"text", "sa.text()"} if in_tables else set())
    else:
        allowed = set()
    found = [
        each for each in sql_text(ast.parse(file.read_text(encoding="utf-8"))) if each.split(": ")[1] not in allowed
    ]
    assert not found


def sources() -> list[Path]:
    tests_and_benchmarks = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    return [*PRODUCT, ROOT / "cli.py", *tests_and_benchmarks]


def test_no_file_is_longer_than_400_lines():
    lengths = {shown(file): len(file.read_text(encoding="utf-8").splitlines()) for file in sources()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_50_lines():
    long = {}
    for file in [*PRODUCT, ROOT / "cli.py"]:
        if "migrations" in file.parts:
            continue  # a table of sixty columns is one call
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > 50:
                    long[f"{shown(file)}:{node.lineno} {node.name}"] = length
    assert long == {}


def test_no_module_is_called_by_a_word_that_says_nothing_or_hides_a_library():
    names = {file.stem for file in PRODUCT} | {
        folder.name for folder in (ROOT / "engine").rglob("*") if folder.is_dir()
    }
    assert not names & {"utils", "util", "helpers", "helper", "manager", "common", "misc", "email", "twilio"}


SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a cloud key": r"\bAKIA[0-9A-Z]{16}\b",
    "a Twilio account": r"\bAC[0-9a-f]{32}\b",
    "a token of a code host": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bglpat-[\w-]{20}",
    "a payment key": r"\b[sr]k_live_\w+",
    "someone's home folder": r"(?<![\w.])/(?:root|home/\w+|Users/\w+)/",
    "the folder this was written in": r"(?<![\w.])/work/\w",
    "a registry's address": r"https?://[^/\s]*(?:pypi|registry|artifactory|nexus)[^\s\"')]*",
}
#: Made up, and said to be: account ids of tests against a server of our own.
MADE_UP = re.compile(r"AC(?:([0-9a-f])\1{31}|0123456789abcdef0123456789abcdef)")


def committed() -> list[Path]:
    inside = [file for name in TOP_FOLDERS for file in (ROOT / name).rglob("*") if file.is_file()]
    return [*(ROOT / name for name in TOP_FILES), *(file for file in inside if "__pycache__" not in file.parts)]


def test_no_file_holds_a_secret_or_the_path_of_a_machine():
    found = []
    for file in committed():
        if file == Path(__file__):
            continue
        text = MADE_UP.sub("", file.read_bytes().decode("utf-8", errors="replace"))
        for number, line in enumerate(text.splitlines(), 1):
            found += [
                f"{shown(file)}:{number}: {what}" for what, pattern in SECRETS.items() if re.search(pattern, line)
            ]
    assert found == []
