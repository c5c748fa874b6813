"""Erasure: the guest's name, address and number are found in no byte of the home's files."""

import base64
import quopri
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from connectors.base import Outcome
from connectors.file import FileConnector
from engine.database.tables import (
    audit,
    consents,
    coupons,
    customer_dates,
    customer_facts,
    customers,
    dispatches,
    endpoints,
    events,
    metadata,
    orders,
    payloads,
    ratings,
    tags,
)
from engine.dispatch.claims import claim
from engine.dispatch.erasure import UnknownCustomerError, erase
from engine.dispatch.fence import pass_fence
from engine.dispatch.stages import send_due
from engine.dispatch.traces import Traces
from engine.intake.importer import import_file
from engine.intake.inbox import take_in
from engine.language.rule import Step
from engine.vocabulary.actions import Alert

from .world import NOW, Clock, Sink, a_desk, a_home

NAME, MAIL, PHONE = "王小明", "xiaoming.wang@example.com", "+13125550142"
OTHER = "Ana Gómez"

CUSTOMERS = f"""customer_id,name,first_name,email,phone,birthday,city,company,tags,favourite,email_consent,sms_consent,consent_at
c1,{NAME},小明,Xiaoming.Wang@Example.com,(312) 555-0142,1990-02-03,Lincoln Park,Wang & Co,vip,window seat,yes,yes,2026-01-02
c2,{OTHER},Ana,ana@example.com,(312) 555-0143,,,,,,yes,yes,2026-01-02
"""
ORDERS = "order_id,customer_id,ordered_at,total\no1,c1,2026-04-01 12:00,12.50\no2,c2,2026-04-01 12:00,9.50\n"
RATINGS = f"rating_id,customer_id,rated_at,score,comment\nr1,c1,2026-04-02 12:00,1,call {NAME} at 312 555 0142\n"
REFUSED = f"customer_id,name,email\n,{NAME},xiaoming.wang@example.com\nc2,{OTHER},not an address\n"


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


def lay(home, name, text, encoding="utf-8"):
    file = home.root / "inbox" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding=encoding)
    return file


def forms(text):
    """Every way in which a text may stand in a file."""
    yield from (text.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be", "gb18030"))
    raw = text.encode()
    yield quopri.encodestring(raw).rstrip(b"=\n")
    for shift in range(3):  # base64 in its three alignments, without the letters that its neighbours decide
        whole = base64.b64encode(b"\0" * shift + raw + b"\0" * 2)
        yield whole[4 if shift else 0 :][: len(raw) // 3 * 4 - 4]


def files_with(root, *texts):
    wanted = [form for text in texts for form in forms(text) if len(form) > 3]
    return [
        str(file.relative_to(root))
        for file in sorted(root.rglob("*"))
        if file.is_file() and any(form in file.read_bytes() for form in wanted)
    ]


def customer(cafe, external_id="c1"):
    with cafe.db.begin() as conn:
        return conn.execute(select(customers).where(customers.c.external_id == external_id)).one()


def full_life(cafe, home):
    """Import the guest, write to them and about them, and leave things open."""
    lay(home, "customers.csv", CUSTOMERS, "gb18030")
    lay(home, "orders.csv", ORDERS)
    lay(home, "ratings.csv", RATINGS, "utf-16")
    assert not [each.problem for each in take_in(cafe.db, home.config, home.key, NOW) if each.problem]
    import_file(cafe.db, home.config, home.key, lay(home, "more.csv", REFUSED), now=NOW)
    guest = customer(cafe)
    with cafe.db.begin() as conn:
        conn.execute(
            insert(events).values(
                source="csv", external_id="e1", customer_id=guest.id, name="booked", at=NOW, data={"for": NAME}
            )
        )
        rating_id = conn.scalar(select(ratings.c.id))
    alerts = cafe.rule(Step(1, "alert", Alert("low-rating-alert", once_per="run")), purpose="service")
    content = cafe.content(
        "low-rating-alert",
        **{
            "subject.txt": "{{ customer.name }}",
            "email.txt": "{% for match in matches %}{{ match.customer.name }} {{ match.customer.phone }}"
            " {% if match.rating %}{{ match.rating.comment }}{% endif %}\n{% endfor %}",
        },
    )
    run = cafe.run()
    for each in (customer(cafe, "c2"), guest):
        match = cafe.match(each, rule=alerts, run_id=run, rating_id=rating_id if each.id == guest.id else None)
        cafe.dispatch(match, each, "alert", content_id=content)
    cafe.message(guest)
    cafe.message(customer(cafe, "c2"))
    files = FileConnector(home.root / "outbox")
    send_due(a_desk(cafe, home, Clock(), email=files, sms=files))
    (home.root / "preview").mkdir()
    (home.root / "preview" / "win-back-c1-1.html").write_text(f"<p>Dear {NAME}</p>")
    return guest


def test_after_erasure_no_file_of_the_home_holds_name_address_or_number(cafe, home):
    guest = full_life(cafe, home)
    traces = (NAME, MAIL, "Xiaoming.Wang@Example.com", PHONE, "3125550142", "555-0142", "Wang & Co", "window seat")
    assert len(files_with(home.root, *traces)) > 5
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert files_with(home.root, *traces) == []
    assert report.messages == 3
    assert report.rows == {
        "inbox/done/customers.csv": 1,
        "inbox/done/ratings.csv": 1,
        "inbox/more.csv": 1,
        "inbox/more.rejects.csv": 1,
    }
    assert not [sentence for sentence in report.left if NAME in sentence or "still stands" in sentence]


def test_pages_and_tests_go_that_show_the_guest_by_a_first_name_only(cafe, home):
    guest = full_life(cafe, home)
    page = home.root / "preview" / "low-rating-c1-2.html"
    page.write_text("<p>Hello 小明</p>")
    trial, to_owner = home.root / "outbox" / "test-1.eml", "To: owner@corner.example\nSubject: {}\n\nHello Xiao\n"
    trial.write_text(to_owner.format("TEST: We miss you"))
    (home.root / "outbox" / "test-2.txt").write_text("From: a\nTo: +15005550006\n\nTEST: Hello Xiao\n")
    other = home.root / "outbox" / "other.eml"
    other.write_text(to_owner.format("We miss you"))
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert list((home.root / "preview").iterdir()) == []
    assert [file.name for file in (home.root / "outbox").iterdir() if "Xiao" in file.read_text()] == ["other.eml"]
    assert report.messages == 6


def test_a_second_file_of_refused_rows_is_cleared_too(cafe, home):
    guest = full_life(cafe, home)
    second = home.root / "more.rejects-2.csv"
    second.write_text(f"customer_id,name,email,refused_line,refused_reason\nc1,{NAME},{MAIL},2,why\n", "utf-8-sig")
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert NAME not in second.read_text("utf-8-sig")
    assert report.rows["more.rejects-2.csv"] == 1


def test_files_that_were_imported_from_another_folder_are_told(cafe, home, tmp_path_factory):
    guest = full_life(cafe, home)
    outside = tmp_path_factory.mktemp("desk") / "guests-of-may.csv"
    outside.write_text(CUSTOMERS, encoding="utf-8")
    import_file(cafe.db, home.config, home.key, outside, now=NOW)
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    (told,) = [sentence for sentence in report.left if "other folders" in sentence]
    assert "(guests-of-may.csv)" in told


def test_pages_that_cannot_be_deleted_are_told(cafe, home, monkeypatch):
    guest = full_life(cafe, home)
    real = Path.unlink

    def stuck(self, missing_ok=False):
        if self.suffix == ".html":
            raise PermissionError
        real(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", stuck)
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert "preview/: 1 of its pages cannot be deleted. Delete the folder by hand." in report.left


def test_the_other_guest_keeps_everything(cafe, home):
    guest = full_life(cafe, home)
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    other = customer(cafe, "c2")
    assert other.name == OTHER
    kept = (home.root / "inbox" / "done" / "customers.csv").read_text(encoding="gb18030")
    assert OTHER in kept
    assert kept.startswith("customer_id,name,first_name,")
    assert len(list((home.root / "outbox").iterdir())) == 1
    with cafe.db.begin() as conn:
        assert conn.scalar(select(endpoints.c.address).where(endpoints.c.id == other.email_id)) == "ana@example.com"


def test_no_row_says_who_it_was_and_the_books_still_add_up(cafe, home):
    guest = full_life(cafe, home)
    with cafe.db.begin() as conn:
        conn.execute(insert(customer_dates).values(customer_id=guest.id, name="wedding", year=2020, md=504))
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    with cafe.db.begin() as conn:
        assert conn.execute(select(customer_dates)).all() == []
        everything = str([conn.execute(select(table)).all() for table in metadata.sorted_tables])
        assert conn.scalar(select(orders.c.total).where(orders.c.customer_id == guest.id)) == 1250
        row = conn.execute(select(customers).where(customers.c.id == guest.id)).one()
        assert conn.execute(select(tags).where(tags.c.customer_id == guest.id)).all() == []
        assert conn.execute(select(customer_facts).where(customer_facts.c.customer_id == guest.id)).all() == []
        their = select(dispatches.c.id).where(dispatches.c.customer_id == guest.id)
        assert conn.execute(select(payloads).where(payloads.c.dispatch_id.in_(their))).all() == []
        hashes = conn.execute(select(endpoints).where(endpoints.c.suppressed_why == "erased")).all()
        evidence = conn.scalars(select(consents.c.evidence).where(consents.c.customer_id == guest.id)).all()
        trail = conn.execute(select(audit).where(audit.c.action == "erase")).one()
    assert not [each for each in (NAME, "小明", "1990", MAIL, PHONE, "Wang & Co", "window seat") if each in everything]
    assert row.external_id.startswith("erased:")
    assert (row.erased_at, row.attributes) == (NOW, {})
    assert [(len(each.hash), each.address, each.suppressed_at) for each in hashes] == [(32, None, NOW)] * 2
    assert set(evidence) == {None}
    assert (trail.actor, trail.subject) == ("Ana", f"customer {guest.id}")


def test_an_export_of_the_till_that_still_lists_the_guest_brings_nobody_back(cafe, home):
    guest = full_life(cafe, home)
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    lay(home, "again.csv", CUSTOMERS)
    (report,) = [each for each in take_in(cafe.db, home.config, home.key, NOW) if each.file.name == "again.csv"]
    assert report.erased == 1
    with cafe.db.begin() as conn:
        assert NAME not in str(conn.execute(select(customers)).all())
        assert MAIL not in str(conn.execute(select(endpoints)).all())


def test_what_is_open_is_blocked_and_coupons_without_a_code_are_taken_back(cafe, home):
    guest = cafe.guest()
    match = cafe.match(guest)
    coupon = cafe.coupon(match, guest, step=1)
    held, pending = cafe.dispatch(match, guest, step=2, state="held"), cafe.dispatch(match, guest, "sms", step=3)
    claimed, sent = cafe.message(guest, state="claimed"), cafe.message(guest, state="sent")
    other = cafe.message()
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert [cafe.outcome(each) for each in (coupon, held, pending, claimed)] == ["blocked: erased"] * 4
    assert (cafe.state(sent), cafe.state(other)) == ("sent", "pending")
    assert cafe.coupon_of(coupon).revoked_at == NOW
    assert (report.stopped, report.coupons) == (4, 1)


def test_an_address_that_another_guest_shares_stays_theirs(cafe, home):
    guest = cafe.guest()
    partner = cafe.guest("Ana", email_id=guest.email_id)
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    message = cafe.message(partner)
    send_due(a_desk(cafe, home, Clock()))
    assert cafe.state(message) == "sent"
    with cafe.db.begin() as conn:
        rows = {row.id: row for row in conn.execute(select(endpoints))}
    assert (rows[guest.email_id].address, rows[guest.email_id].suppressed_at) == ("guest1@example.com", None)
    assert (rows[guest.sms_id].address, rows[guest.sms_id].suppressed_why) == (None, "erased")


def test_a_message_under_way_is_stopped_at_the_fence(cafe, home):
    guest = cafe.guest()
    cafe.message(guest)
    sink = Sink(before_fence=lambda: erase(cafe.db, home, guest.id, now=NOW, actor="Ana"))
    send_due(a_desk(cafe, home, Clock(), email=sink))
    assert sink.accepted == []


def test_one_that_is_being_handed_over_is_told(cafe, home):
    guest = cafe.guest()
    message = cafe.message(guest)
    with cafe.db.begin() as conn:
        (held,) = claim(conn, now=NOW, holder="elsewhere:1:a", usable=["email"], limit=1)
        assert not pass_fence(conn, [held], cafe.policy, NOW, content_hash=b"h" * 32)
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert cafe.state(message) == "handoff"
    assert report.left[0].startswith("1 message is being handed over")


def test_erasing_twice_is_erasing_once(cafe, home):
    guest = full_life(cafe, home)
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    with cafe.db.begin() as conn:
        before = conn.execute(select(customers)).all()
    again = erase(cafe.db, home, guest.id, now=NOW + timedelta(days=1), actor="Ben")
    assert (again.stopped, again.messages, again.rows) == (0, 0, {})
    with cafe.db.begin() as conn:
        assert conn.execute(select(customers)).all() == before


def test_the_friend_who_was_brought_keeps_who_brought_them_without_knowing_who(cafe, home):
    guest = cafe.guest(external_id="c-friend")
    friend = cafe.guest(referred_by="c-friend")
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    with cafe.db.begin() as conn:
        assert conn.scalar(select(customers.c.referred_by).where(customers.c.id == friend.id)).startswith("erased:")


def test_what_was_written_to_whoever_brought_the_guest_goes_too(cafe, home):
    friend, referrer, other = cafe.guest("Xiangyu Example"), cafe.guest(), cafe.guest()
    content = cafe.content("friend", **{"subject.txt": "{{ friend.first_name }} came", "email.txt": "Thank you"})
    plain = cafe.content("plain", **{"subject.txt": "Hello", "email.txt": "Hello"})
    cafe.dispatch(cafe.match(referrer, friend_id=friend.id), referrer, content_id=content)
    cafe.dispatch(cafe.match(other), other, content_id=plain)
    send_due(a_desk(cafe, home, Clock(), email=FileConnector(home.root / "outbox")))
    assert len(list((home.root / "outbox").iterdir())) == 2
    assert files_with(home.root / "outbox", "Xiangyu")
    report = erase(cafe.db, home, friend.id, now=NOW, actor="Ana")
    assert files_with(home.root / "outbox", "Xiangyu") == []
    assert (report.messages, len(list((home.root / "outbox").iterdir()))) == (1, 1)


def test_what_cannot_be_reached_is_said(cafe, home):
    guest = cafe.guest("Li Weiming")
    (home.root / "notes.txt").write_text("Li Weiming likes the window seat")
    report = erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    assert "Li Weiming" not in str(report)
    assert [sentence.partition(":")[0] for sentence in report.left][:3] == [
        "notes.txt",
        "Backups and copies of this folder or of the database",
        "The till",
    ]
    assert ("PostgreSQL" in str(report.left)) == (cafe.db.dialect.name == "postgresql")


def test_nobody_of_that_number(cafe, home):
    with pytest.raises(UnknownCustomerError):
        erase(cafe.db, home, 4711, now=NOW, actor="Ana")


def test_coupons_that_the_guest_holds_stay_good(cafe, home):
    guest = cafe.guest()
    match = cafe.match(guest)
    coupon = cafe.coupon(match, guest, step=1)
    cafe.dispatch(match, guest, step=2)
    send_due(a_desk(cafe, home, Clock(), email=Sink([Outcome("sent", "250")])))
    erase(cafe.db, home, guest.id, now=NOW, actor="Ana")
    with cafe.db.begin() as conn:
        row = conn.execute(select(coupons).where(coupons.c.dispatch_id == coupon)).one()
    assert row.code is not None
    assert row.revoked_at is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mail to Li.Wei@EXAMPLE.com please", True),
        ("li.wei@example.org", False),
        ("+1 312-555-0142", True),
        ("312 555 0142", True),
        ("(312) 555-0142 or so", True),
        ("5550142", False),
        ("13125550143", False),
        ("total 12.50, 3125550142", True),
    ],
)
def test_a_contact_is_found_however_it_is_written(text, found):
    traces = Traces("csv", "c1", emails=frozenset({"li.wei@example.com"}), phones=frozenset({"+13125550142"}))
    assert traces.contact_in(text) == found


@pytest.mark.parametrize(
    ("text", "found"), [("dear LI  wei,", True), ("Li Weiming", False), ("李小明 came", True), ("Liwei", False)]
)
def test_a_name_is_found_as_whole_words(text, found):
    assert Traces("csv", "c1", names=frozenset({"Li Wei", "李小明"})).name_in(text) == found
