"""What the tests of dispatch are given."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from engine.intake.importer import import_file
from engine.vocabulary.home import Home, load_home

from .whole import CUSTOMERS, DAY, MORNING, OFFERS, ORDERS, WIN_BACK
from .world import CONFIG, Cafe, a_home


@pytest.fixture
def cafe(db: Engine) -> Cafe:
    return Cafe(db)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "win-back.yaml").write_text(WIN_BACK)
    folder = tmp_path / "templates" / "win-back"
    folder.mkdir(parents=True)
    (folder / "subject.txt").write_text("We miss you")
    (folder / "email.txt").write_text("Dear {{ customer.name }}{% if coupon %}, {{ coupon.code }}{% endif %}.")
    (folder / "sms.txt").write_text("Come back{% if coupon %} with {{ coupon.code }}{% endif %}")
    a_home(tmp_path, CONFIG)
    (tmp_path / "config" / "offers.yaml").write_text(OFFERS)
    for name, text in (("customers", CUSTOMERS), ("orders", ORDERS)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


@pytest.fixture
def home(root: Path, db: Engine) -> Home:
    home = load_home(root, {})
    assert home.problems == ()
    for name in ("customers", "orders"):
        report = import_file(db, home.config, home.key, root / f"{name}.csv", now=MORNING - DAY)
        assert not report.problem
    return home
