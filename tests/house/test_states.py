"""A dispatch changes its state in one place: ``engine/dispatch/states.py``. Evaluation writes the first one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from engine.dispatch.states import INITIAL, State

ROOT = Path(__file__).parents[2]
FILES = [file for file in sorted((ROOT / "engine").rglob("*.py")) if "migrations" not in file.parts]
MOVES, BEGINS = ROOT / "engine" / "dispatch" / "states.py", ROOT / "engine" / "evaluation" / "rows.py"
#: What evaluation has just written is held before its trail begins.
HOLDS = ROOT / "engine" / "evaluation" / "lost.py"
#: Whole months in which all is done; ``verify`` knows which they were.
FORGETS = ROOT / "engine" / "database" / "retention.py"
#: What only a move may write.
GUARDED = {"state", "finished_at"}


def writes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every statement that writes the outbox: insert or update, and what it sets that it must not."""
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.expr):
            continue
        verb, chain = begun(statement)
        if verb is None:
            continue
        yield verb, "row"
        for call in chain:
            if isinstance(call.func, ast.Attribute) and call.func.attr in {"values", "on_conflict_do_update"}:
                named = {keyword.arg for keyword in call.keywords}
                named |= {key.value for key in keys(call) if isinstance(key, ast.Constant)}
                yield from ((verb, str(name)) for name in sorted(GUARDED & named))
                if (call.args and not all(isinstance(each, ast.Dict) for each in call.args)) or None in named:
                    yield verb, "anything"


def begun(node: ast.expr) -> tuple[str | None, list[ast.Call]]:
    """Give the verb of ``update(dispatches).where(...).values(...)`` seen from its end, and its calls."""
    calls = []
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        calls.append(node)
        node = node.func.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        about = node.args[-1] if node.func.id == "upsert" and node.args else node.args[0] if node.args else None
        name = about.attr if isinstance(about, ast.Attribute) else getattr(about, "id", "")
        if name == "dispatches" and node.func.id in {"insert", "update", "upsert", "delete"}:
            return node.func.id, calls
    return None, []


def keys(call: ast.Call) -> Iterator[ast.expr]:
    for each in call.args:
        if isinstance(each, ast.Dict):
            yield from (key for key in each.keys if key is not None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("update(dispatches).where(x).values(state='sent')", ("update", "state")),
        ("conn.execute(update(dispatches).values({'state': 'sent'}).returning(y))", ("update", "state")),
        ("update(tables.dispatches).values(finished_at=now)", ("update", "finished_at")),
        ("update(dispatches).values(changes)", ("update", "anything")),
        ("update(dispatches).values(**changes)", ("update", "anything")),
        ("insert(dispatches).values(match_id=1)", ("insert", "row")),
        ("upsert(conn, dispatches).values(match_id=1)", ("upsert", "row")),
        ("delete(dispatches).where(x)", ("delete", "row")),
    ],
)
def test_every_way_to_write_a_state_is_recognised(line: str, expected: tuple[str, str]):
    assert expected in list(writes(ast.parse(line)))


def test_other_columns_may_be_written():
    assert set(writes(ast.parse("update(dispatches).where(a.state == 'sent').values(due_at=now)"))) == {
        ("update", "row")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_only_the_table_of_moves_changes_a_state_and_nothing_leaves_the_outbox(file: Path):
    found = set(writes(ast.parse(file.read_text(encoding="utf-8"))))
    allowed = {("update", "row")}
    if file == MOVES:
        allowed |= {("update", "anything")}
    if file == BEGINS:
        allowed |= {("insert", "row")}
    if file == HOLDS:
        allowed |= {("update", "state")}
    if file == FORGETS:
        allowed |= {("delete", "row")}
    assert found <= allowed


def test_evaluation_begins_only_in_initial_states():
    def states(file: Path) -> set[str]:
        words = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        return {word for word in words if word in get_args(State)}

    assert states(BEGINS) == INITIAL
    assert states(HOLDS) == {"held", "pending"}
