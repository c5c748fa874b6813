from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update

from engine.database.tables import (
    customer_facts,
    customers,
    events,
    order_items,
    orders,
    points,
    products,
    ratings,
    tags,
)
from engine.dispatch.coupons import Issued
from engine.dispatch.render import Renderer
from engine.dispatch.values import Subject, about_several, read_values
from engine.language.config import load_config
from engine.language.loyalty import Level, Loyalty, Tiers
from engine.language.placeholders import NAMES, ListOf
from engine.language.times import Duration

from .world import NOW

CONFIG = """\
business:
  name: Corner Café
  address: 12 Mill Lane, Springfield, IL 62701
  country: US
  language: en
  timezone: America/New_York
  currency: USD
contacts:
  manager:
    email: manager@corner.example
email:
  connector: file
  from: Corner Café <hello@corner.example>
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    (root / "config").mkdir()
    (root / "config" / "regulars.yaml").write_text(CONFIG, encoding="utf-8")
    config, _, problems = load_config(Path(root), {})
    assert config is not None, problems
    return SimpleNamespace(config=config, loyalty=Loyalty())


def read(cafe, home, guest, **changes):
    with cafe.db.begin() as conn:
        (values,) = read_values(conn, home, [Subject(customer_id=guest.id, **changes)], NOW)
    return values


@pytest.fixture
def regular(cafe):
    """A guest with everything that a message can speak of."""
    store_id = cafe.store("Mill Lane", city="Springfield", country="US", language="es", address="1 Mill Lane")
    guest = cafe.guest(
        "Li Wei", first_name="Wei", language="zh-Hans", store_id=store_id, tier="gold", attributes={"drink": "tea"}
    )
    add = cafe._insert
    order_id = add(
        orders, source="csv", external_id="A-1", customer_id=guest.id, store_id=store_id, ordered_at=NOW - timedelta(days=1),
        day=(NOW - timedelta(days=1)).toordinal(), total=1250, channel="takeaway",
    )  # fmt: skip
    product_id = add(products, name="Flat white", category="Coffee", name_key="flat white", category_key="coffee")
    add(order_items, order_id=order_id, line="1", product_id=product_id, quantity=1500, price=900)
    rating_id = add(
        ratings, source="csv", external_id="r1", customer_id=guest.id, rated_at=NOW, score=2.0, comment="cold\nsoup", platform="google"
    )  # fmt: skip
    add(points, source="csv", external_id="p1", customer_id=guest.id, at=NOW - timedelta(days=9), points=120)
    add(points, source="csv", external_id="p2", customer_id=guest.id, at=NOW + timedelta(days=9), points=500)
    with cafe.db.begin() as conn:
        conn.execute(insert(tags).values(customer_id=guest.id, tag="vip"))
        conn.execute(
            insert(customer_facts).values(
                customer_id=guest.id, zone_id=guest.zone_id, visits=3, orders=4, spend=5000,
                joined_day=NOW.toordinal() - 100, last_order_day=NOW.toordinal() - 1,
            )
        )  # fmt: skip
    return SimpleNamespace(guest=guest, store_id=store_id, order_id=order_id, rating_id=rating_id)


def of_match(regular):
    return {"store_id": regular.store_id, "order_id": regular.order_id, "rating_id": regular.rating_id}


def test_every_value_is_read_as_plain_data(cafe, home, regular):
    values = read(cafe, home, regular.guest, **of_match(regular), unsubscribe="https://corner.example/u/x")
    assert json.loads(json.dumps(values)) == values
    assert values["customer"] == {
        "name": "Li Wei", "first_name": "Wei", "email": values["customer"]["email"], "phone": values["customer"]["phone"],
        "language": "zh-Hans", "city": None, "company": None, "gender": None, "tier": "gold", "tags": ["vip"],
        "joined": "2026-01-24", "visits": 3, "orders": 4, "spend": 5000, "last_visit": "2026-05-03", "attributes": {"drink": "tea"},
    }  # fmt: skip
    assert "@example.com" in values["customer"]["email"]
    assert values["order"] == {
        "number": "A-1", "total": 1250, "ordered_at": "2026-05-03T15:00:00+00:00", "day": "2026-05-03", "channel": "takeaway",
        "server": None, "items": [{"product": "Flat white", "category": "Coffee", "quantity": 1.5, "price": 900}],
    }  # fmt: skip
    assert values["rating"] == {
        "score": 2.0,
        "comment": "cold\nsoup",
        "rated_at": "2026-05-04T15:00:00+00:00",
        "source": "google",
    }
    assert values["points"] == 120  # those of next week do not exist yet
    assert values["store"]["name"] == "Mill Lane"
    assert values["business"]["email"] == "hello@corner.example"
    assert values["links"] == {"unsubscribe": "https://corner.example/u/x"}
    assert values["zone"] == "America/Chicago"
    assert values["languages"] == ["zh-Hans", "es", "en"]


def test_every_name_that_a_template_may_use_is_there(cafe, home, regular):
    issued = Issued("K7QM2XRT9BWNH", "cake", {"name": "Cake"}, None)
    values = read(cafe, home, regular.guest, **of_match(regular), coupons=[issued])
    for name, shape in NAMES.items():
        assert name in values
        of = shape.of if isinstance(shape, ListOf) else shape
        found = values[name][0] if isinstance(values[name], list) and values[name] else values[name]
        if isinstance(of, dict) and isinstance(found, dict):
            assert set(of) <= set(found), name


def test_a_coupon_says_its_last_good_day_on_the_guests_clock(cafe, home, regular):
    first_bad = datetime(2026, 5, 19, 4, 0, tzinfo=ZoneInfo("America/Chicago")).astimezone(UTC)
    terms = {"name": {"en": "Cake", "zh": "蛋糕"}, "item": "cake", "minimum_spend": 500}
    one, two = Issued("K7QM2XRT9BWNH", "cake", terms, first_bad), Issued("ABCDEFGH23456", "tea", {}, None)
    values = read(cafe, home, regular.guest, coupons=[two, one])
    assert values["coupon"] == {
        "code": "K7QM-2XRT-9BWN-H", "name": {"en": "Cake", "zh": "蛋糕"}, "offer": "cake", "item": "cake",
        "valid_until": "2026-05-18", "minimum_spend": 500, "qr": "K7QM-2XRT-9BWN-H",
    }  # fmt: skip
    assert [(c["name"], c["valid_until"]) for c in values["coupons"]] == [
        ("tea", None),
        ({"en": "Cake", "zh": "蛋糕"}, "2026-05-18"),
    ]


def test_a_guest_of_whom_little_is_known_has_empty_values(cafe, home):
    guest = cafe.guest("Ann", email_id=None, sms_id=None)
    values = read(cafe, home, guest)
    assert values["customer"]["first_name"] == "Ann"
    assert values["customer"]["email"] is None
    assert (values["customer"]["visits"], values["points"]) == (0, 0)
    assert (values["order"], values["rating"], values["coupon"], values["coupons"]) == (None, None, None, [])
    assert not any(values["store"].values())
    assert values["languages"] == ["en"]


def test_an_erased_guest_raises_nothing_and_leaves_no_trace(cafe, home, regular):
    with cafe.db.begin() as conn:
        conn.execute(update(customers).where(customers.c.id == regular.guest.id).values(erased_at=NOW))
    values = read(cafe, home, regular.guest)
    assert not any(values["customer"].values())
    assert read(cafe, home, SimpleNamespace(id=10**6))["customer"] == values["customer"]


def test_the_tier_is_called_as_the_loyalty_file_calls_it(cafe, home, regular):
    levels = (Level("silver", "Silver", 0), Level("gold", {"en": "Gold", "zh": "金卡"}, 50_000))
    home.loyalty = Loyalty(tiers=Tiers("spend", Duration.parse("1 year"), levels))
    assert read(cafe, home, regular.guest)["customer"]["tier"] is None
    for key, name in (("silver", "Silver"), ("gold", {"en": "Gold", "zh": "金卡"})):
        with cafe.db.begin() as conn:
            conn.execute(update(customer_facts).values(tier_key=key))
        assert read(cafe, home, regular.guest)["customer"]["tier"] == name


def test_staff_read_in_the_homes_language_and_zone(cafe, home, regular):
    values = read(cafe, home, regular.guest, audience="staff")
    assert values["zone"] == "America/New_York"
    assert values["languages"] == ["en"]


def test_an_alert_about_several_lists_them(cafe, home, regular):
    other = cafe.guest("Bo")
    values = about_several(
        [read(cafe, home, guest, audience="staff", **of_match(regular)) for guest in (regular.guest, other)]
    )
    text = Renderer().sms(
        {
            "sms.txt": "{{ matches | map(attribute='customer.name') | join(', ') }}: {{ matches[1].store.name }} {{ matches[0].order.total }}"
        },
        values,
        values["languages"],
    )
    assert text == "Li Wei, Bo: Mill Lane $12.50"
    assert json.loads(json.dumps(values)) == values
    with pytest.raises(ValueError, match="at least one"):
        about_several([])


def test_what_is_read_can_be_rendered_after_a_rest_as_json(cafe, home, regular):
    values = json.loads(json.dumps(read(cafe, home, regular.guest, **of_match(regular))))
    files = {
        "sms.zh.txt": "{{ customer.first_name }} {{ order.total }} {{ order.ordered_at | time }} {{ customer.attributes.drink }}"
    }
    assert Renderer().sms(files, values, values["languages"]) == "Wei US$12.50 10:00 tea"


def test_an_event_and_a_friends_first_name_come_from_the_match(cafe, home, regular):
    friend = cafe.guest("Ann Example", first_name=None)
    happened = cafe._insert(
        events, source="csv", external_id="e1", name="Tasting", name_key="tasting", at=NOW, data={"cups": 2}, data_keys={}
    )  # fmt: skip
    values = read(cafe, home, regular.guest, event_id=happened, friend_id=friend.id)
    assert values["event"] == {"name": "Tasting", "at": "2026-05-04T15:00:00+00:00", "data": {"cups": 2}}
    assert values["friend"] == {"first_name": "Ann"}
    assert json.loads(json.dumps(values)) == values
    with cafe.db.begin() as conn:
        conn.execute(update(customers).where(customers.c.id == friend.id).values(erased_at=NOW))
    assert read(cafe, home, regular.guest, friend_id=friend.id)["friend"] is None
