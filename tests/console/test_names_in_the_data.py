"""``validate`` looks whether the names that the files speak of are known in the data, and never touches it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from engine.console.checking import check
from engine.console.importing import import_files
from engine.console.session import opened
from engine.database.migrations import _version
from engine.database.tables import customers, order_items

from .conftest import NOW

RULE = """\
id: of-names
trigger:
  ordered:
    store: Mil Lane
    channel: take-away
conditions:
  orders:
    category: Luncheon
    product: "*latte"
    equals: 0
  favourite:
    of: product
    one_of:
      - Soupe
      - Soup
  tag: vegatarian
  tier: gold
  attribute.vip_levl: gold
  ratings:
    source: google
    at_least: 1
  messages:
    rule: win-bak
    equals: 0
actions:
  - tag: brand-new
  - email: hello
stop_if:
  tag: brand-new
"""
FILES = {
    "customers.csv": "customer_id,name,tags,vip_level\nG1,Ann,vegetarian,gold\n",
    "stores.csv": "store_id,name\nS1,Mill Lane\n",
    "orders.csv": "order_id,customer_id,ordered_at,store_id,total,channel\nO1,G1,2026-05-01 10:00,S1,5,Takeaway\n",
    "order_items.csv": "order_id,line,product,category,quantity,price\nO1,1,Soup,Lunch,1,5\nO1,2,Oat Latte,Coffee,1,4\n",
}


def put(root: Path, files: Mapping[str, str]) -> list[Path]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return [root / name for name in files]


def told(home: Path) -> list[tuple[str, str]]:
    """Where and what is warned of."""
    found = check(home, ["rules/of-names.yaml"], {}, NOW.date())
    assert all(problem.severity == "warning" for problem in found)
    return [(f"{problem.line}:{problem.column}", str(problem.message)) for problem in found]


@pytest.fixture
def known(home: Path, tmp_path: Path) -> Path:
    put(home, {"rules/of-names.yaml": RULE, "templates/hello/subject.txt": "Hi", "templates/hello/email.txt": "Hi"})
    with opened(home, {}, lambda: NOW) as session:
        for report in import_files(session, put(tmp_path / "files", FILES), NOW):
            assert not report.failed, report.sentence()
    return home


def test_each_name_that_the_data_does_not_know_is_told_at_its_place(known: Path) -> None:
    assert told(known) == [
        ("4:12", 'no store in the data is called "Mil Lane" - did you mean "Mill Lane"?'),
        ("5:14", 'no channel in the data is called "take-away" - did you mean "takeaway"?'),
        ("8:15", 'no category in the data is called "Luncheon" - did you mean "Lunch"?'),
        ("14:9", 'no product in the data is called "Soupe" - did you mean "Soup"?'),
        ("16:8", 'no tag in the data is called "vegatarian" - did you mean "vegetarian"?'),
        ("18:3", 'no attribute in the data is called "vip_levl" - did you mean "vip_level"?'),
        ("20:13", 'no source of ratings in the data is called "google"'),
        ("23:11", 'no rule in the data is called "win-bak" - did you mean "win-back"?'),
    ]


def test_a_home_without_a_database_or_with_an_older_one_is_told_nothing(known: Path, tmp_path: Path) -> None:
    with opened(known, {}, lambda: NOW) as session, session.db.begin() as conn:
        conn.execute(update(_version).values(version_num="0001"))
    assert told(known) == []
    for file in known.glob("regulars.db*"):
        file.unlink()
    assert told(known) == []
    assert not list(known.glob("regulars.db*"))


def test_without_items_nobody_is_known_to_have_had_none(known: Path) -> None:
    with opened(known, {}, lambda: NOW) as session, session.db.begin() as conn:
        conn.execute(delete(order_items))
    nobody = "this holds for nobody: without the items of orders nobody is known to have had no"
    said = dict(told(known))
    assert said["8:15"] == f'{nobody} "Luncheon"'
    assert said["9:14"] == f'{nobody} "*latte"'
    assert said["14:9"] == 'no order in the data has items, so none is known with "Soupe"'


def test_an_attribute_is_told_also_where_no_guest_has_any(known: Path) -> None:
    with opened(known, {}, lambda: NOW) as session, session.db.begin() as conn:
        conn.execute(update(customers).values(attributes={}))
    assert dict(told(known))["18:3"] == 'no attribute in the data is called "vip_levl"'


def test_stores_of_an_offer_are_looked_for_too(known: Path) -> None:
    file = known / "config/offers.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "local:\n  name: Local\n  item: a roll\n  stores:\n    - S2\n")
    found = [str(problem.message) for problem in check(known, ["config/offers.yaml"], {}, NOW.date())]
    assert found == ['no store in the data is called "S2"']
