"""What is going on when a fault strikes: a home on disk, what was done before, and the task that a worker has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from dispatch.whole import DAY, MORNING, OFFERS, evaluated
from dispatch.world import Clock, a_home
from sqlalchemy import Engine, select

from engine.console.exits import NotNowError
from engine.console.run import live
from engine.console.session import Session
from engine.database.tables import customers, dispatches, endpoints
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.erasure import erase
from engine.dispatch.links import message_id
from engine.dispatch.stages import send_due
from engine.evaluation.register import register
from engine.evaluation.runner import run_due
from engine.intake.importer import import_file
from engine.vocabulary.home import Home, load_home

from .witness import ACCOUNT

SENDER = "hello@corner.example"
SECRETS = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "a made-up token"}
CONFIG = """
business:
  name: Corner Café
  address: 7 Quay Street, Duluth, MN 55802
  country: US
  language: en
  timezone: America/Chicago
  currency: USD
contacts:
  manager:
    email: manager@corner.example
email:
  connector: smtp
  from: Corner Café <hello@corner.example>
  smtp:
    host: 127.0.0.1
    port: {mail_port}
    tls: none
sms:
  connector: twilio
  twilio:
    account_sid: env:TWILIO_ACCOUNT_SID
    auth_token: env:TWILIO_AUTH_TOKEN
    from: "+15005550006"
    base_url: http://127.0.0.1:{sms_port}
links:
  base_url: https://corner.example/r
limits:
  marketing_per_day: 9
  marketing_per_week: 9
  blast: 100%
"""
LOYALTY = "ledgers:\n  points:\n    name:\n      en: points\n    expires: 1 year\n"

LAPSED = "id: {id}\ntrigger:\n  lapsed:\n    after: 30 days\n    up_to: 60 days\nactions:\n{actions}"
EMAIL = "  - email:\n      template: win-back\n"
SMS = "  - sms:\n      template: win-back\n"
COUPON = "  - coupon:\n      offer: cake\n"
INSIDE = COUPON + "      always: true\n  - points:\n      add: 10\n  - tag:\n      add: thanked\n"
WHOLE = COUPON + EMAIL + "  - wait: 3 days\n" + SMS
BIRTHDAY = "id: birthday\ntrigger:\n  birthday: {}\nactions:\n" + EMAIL

#: The guest who is erased is known by these.
NAME, MAIL, PHONE = "Mei Quartz", "mei.quartz@guest.example", "+13125550101"

_MESSAGES = (
    select(dispatches.c.id, dispatches.c.channel, endpoints.c.address)
    .join(endpoints, endpoints.c.id == dispatches.c.endpoint_id)
    .where(dispatches.c.channel.in_(("email", "sms")))
)


@dataclass(frozen=True)
class Scene:
    """``before`` brings the home to where the fault strikes; ``task`` is what the worker does."""

    name: str
    rules: tuple[str, ...]
    before: Callable[[Engine, Home], None]
    task: Callable[[Engine, Home], None]
    guests: int = 1


def _nothing(db: Engine, home: Home) -> None:
    pass


def _evaluate(db: Engine, home: Home) -> None:
    assert run_due(db, home, MORNING).balanced


def send(db: Engine, home: Home) -> None:
    desk = open_desk(db, home, now=Clock(MORNING))
    try:
        send_due(desk)
    finally:
        desk.close()


def _erase(db: Engine, home: Home) -> None:
    with db.begin() as conn:
        guest = conn.scalar(select(customers.c.id).order_by(customers.c.id).limit(1))
    assert guest is not None
    erase(db, home, guest, now=MORNING, actor="Ana")


def _approved(db: Engine, home: Home) -> None:
    """Nothing is evaluated yet; what will be needs nobody's word."""
    with db.begin() as conn:
        register(conn, home, MORNING - DAY)
        for rule in home.rules:
            approve(conn, rule.id, name="Ana", now=MORNING - DAY, mode="first")


def _run(db: Engine, home: Home) -> None:
    """`regulars run`, from the lock to the end."""
    session = Session(home, db, Clock(MORNING), SECRETS)
    try:
        ran = live(session, MORNING, only=None, wait=False, rehearsal=False, progress=lambda _: None)
    except NotNowError:
        return  # another one has the home
    # A file that the other run takes out of the inbox first is complained of, and taken in all the same.
    assert ran.result.balanced, ran.complaints()
    assert ran.summary is None or not ran.summary.problems, ran.complaints()


def _run_without_lock(db: Engine, home: Home) -> None:
    of_server = mock.patch("engine.console.ledger.one_run", return_value=nullcontext(True))
    with of_server, mock.patch("engine.console.run.alone", return_value=nullcontext()):
        _run(db, home)


_CRON = (LAPSED.format(id="mail", actions=COUPON + EMAIL), LAPSED.format(id="text", actions=SMS), BIRTHDAY)
SCENES = {
    scene.name: scene
    for scene in (
        Scene("evaluate", (LAPSED.format(id="win-back", actions=WHOLE), BIRTHDAY), _nothing, _evaluate, guests=3),
        Scene("email", (LAPSED.format(id="mail", actions=EMAIL),), evaluated, send),
        Scene("group", (LAPSED.format(id="mail", actions=EMAIL),), evaluated, send, guests=14),
        Scene("sms", (LAPSED.format(id="text", actions=SMS),), evaluated, send),
        Scene("coupon", (LAPSED.format(id="inside", actions=INSIDE),), evaluated, send, guests=2),
        Scene(
            "crowd",
            (LAPSED.format(id="mail", actions=COUPON + EMAIL), LAPSED.format(id="text", actions=SMS)),
            evaluated,
            send,
            guests=26,
        ),
        Scene("run", _CRON, _approved, _run, guests=4),
        Scene("run without lock", _CRON, _approved, _run_without_lock, guests=4),
        Scene("erase", (LAPSED.format(id="both", actions=EMAIL + SMS), BIRTHDAY), evaluated, _erase, guests=2),
    )
}


def furnish(root: Path, scene: Scene, *, mail_port: int, sms_port: int) -> None:
    """Write the files of a home in which the scene is played."""
    a_home(root, CONFIG.format(mail_port=mail_port, sms_port=sms_port))
    (root / "config" / "offers.yaml").write_text(OFFERS)
    (root / "config" / "loyalty.yaml").write_text(LOYALTY)
    (root / "rules").mkdir(exist_ok=True)
    for number, rule in enumerate(scene.rules):
        (root / "rules" / f"{number}.yaml").write_text(rule)
    folder = root / "templates" / "win-back"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.txt").write_text("We miss you")
    (folder / "email.txt").write_text("Dear {{ customer.name }}{% if coupon %}, {{ coupon.code }}{% endif %}.")
    (folder / "sms.txt").write_text("Come back{% if coupon %} with {{ coupon.code }}{% endif %}")
    (root / "inbox").mkdir(exist_ok=True)
    people = "customer_id,name,email,phone,birthday,email_consent,sms_consent,consent_at\n"
    bought = "order_id,customer_id,ordered_at,total\nwalk-in,,2026-05-03 18:00,9.00\n"
    for number in range(1, scene.guests + 1):
        name, mail = (NAME, MAIL) if number == 1 else (f"Guest {number}", f"guest{number}@guest.example")
        people += f"c{number},{name},{mail},+1312555{100 + number:04},1990-05-04,yes,yes,2026-01-02\n"
        bought += f"o{number},c{number},2026-03-25 12:00,12.50\n"
    (root / "inbox" / "customers.csv").write_text(people)
    (root / "inbox" / "orders.csv").write_text(bought)


def begin(db: Engine, root: Path, scene: Scene) -> Home:
    """Play what comes before: import, and what the scene wants."""
    home = read(root)
    assert home.problems == (), home.problems
    for name in ("customers", "orders"):
        report = import_file(db, home.config, home.key, root / "inbox" / f"{name}.csv", now=MORNING - DAY)
        assert not report.problem, report.problem
    scene.before(db, home)
    return home


def read(root: Path) -> Home:
    return load_home(root, SECRETS)


def keys_of(db: Engine, home: Home) -> dict[str, int]:
    """Give what the witness knows each message by: Message-IDs, and the number that a text goes to."""
    found = {}
    with db.begin() as conn:
        for row in conn.execute(_MESSAGES):
            if row.channel == "email":
                found[message_id(home.key, row.id, SENDER)] = row.id
            elif row.channel == "sms" and row.address is not None:
                found[row.address] = row.id
    return found
