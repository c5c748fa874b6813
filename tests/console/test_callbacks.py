"""`regulars receive status` and `receive sms`: what is said, what is refused, and how it ends."""

import json

import pytest
from sqlalchemy import insert, select, update

from engine.database.tables import channels, consents, delivery_events, dispatches
from engine.vocabulary.home import load_home
from tests.dispatch.twilio import ACCOUNT, ENVIRON, SID, callback, texted

from .conftest import NOW, lines

TWILIO = """sms:
  connector: file
  twilio:
    account_sid: env:ACCOUNT
    auth_token: env:TOKEN
    from: MG0123456789abcdef0123456789abcdef
"""
G1 = "+13125550101"


@pytest.fixture(autouse=True)
def account(home, monkeypatch):
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    config = home / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8").replace("  base_url:      ", "  base_url: https://corner.example/r", 1)
    before, _, rest = text.partition("\nsms:\n")
    config.write_text(f"{before}\n{TWILIO}\n{rest[rest.index('# Systems') :]}", encoding="utf-8")
    links = config.read_text(encoding="utf-8")
    config.write_text(
        links.replace("links:\n  base_url:", "links:\n  base_url: https://corner.example/r\n  # was", 1),
        encoding="utf-8",
    )


@pytest.fixture
def message(at_home, home, database):
    """The id of a message to G1 whose answer was lost."""
    at_home("run")
    at_home("approve", "--all")
    with database.begin() as conn:
        found = conn.scalar(select(dispatches.c.id).where(dispatches.c.channel == "email").order_by(dispatches.c.id))
        guest = select(dispatches.c.customer_id).where(dispatches.c.id == found).scalar_subquery()
        conn.execute(
            update(dispatches)
            .where(dispatches.c.id == found)
            .values(channel="sms", carrier="sms", state="uncertain", handed_at=NOW, endpoint_id=None, customer_id=guest)
        )
    return found


def kept(*requests):
    return "".join(f"{json.dumps({'url': r.url, 'signature': r.signature, 'body': r.body})}\n" for r in requests)


def test_status_callbacks_from_a_file_and_from_the_input(at_home, home, message, database, tmp_path):
    own = load_home(home, ENVIRON)
    file = tmp_path / "kept.jsonl"
    file.write_text(kept(callback(own, message, "delivered"), callback(own, message, "undelivered", code=30007)))
    told = at_home("receive", "status", file)
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines() == [
        f"Message {message}: delivered; it was uncertain, and is sent.",
        f"Message {message}: undelivered (30007).",
    ]
    again = at_home("receive", "status", "-", input=file.read_text())
    assert (again.exit_code, again.stdout) == (0, "2 callbacks told nothing new.\n")
    with database.begin() as conn:
        assert len(conn.execute(select(delivery_events)).all()) == 2
    shown = next(row for row in lines(at_home("log", "--format", "json")) if row["id"] == message)
    assert (shown["state"], shown["carrier"], shown["provider_id"]) == ("sent", "sms", SID)


def test_what_cannot_be_proved_is_refused_by_its_line(at_home, home, message, tmp_path):
    own = load_home(home, ENVIRON)
    file = tmp_path / "kept.jsonl"
    good = callback(own, message, "sent")
    file.write_text(f"\nnot json\n[]\n{kept(callback(own, message, key='other'))}{'{'}\n{kept(good)}", encoding="utf-8")
    told = at_home("receive", "status", file)
    assert told.exit_code == 1
    assert told.stdout == f"Message {message}: it was uncertain, and is sent.\n"
    assert [line.partition(", ")[2] for line in told.stderr.splitlines()] == [
        'line 2: this is no JSON object with the texts "url", "signature" and "body".',
        'line 3: this is no JSON object with the texts "url", "signature" and "body".',
        "line 4: it is not signed by Twilio for the address in `links: base_url`, or was changed since.",
        'line 5: this is no JSON object with the texts "url", "signature" and "body".',
    ]


def test_a_guests_word_told_by_a_person(at_home, home, database):
    told = [at_home("receive", "sms", "--from", "(312) 555-0101", "--text", text) for text in ("STOP", "stop", "Hm?")]
    assert [each.exit_code for each in told] == [0, 0, 0]
    assert [each.stdout for each in told] == [
        "No more advertising goes to the number.\n",
        "The number had been stopped before; nothing was changed.\n",
        "Nothing was changed; this is none of the words that stop or start.\n",
    ]
    started = at_home("receive", "sms", "--from", G1, "--text", "START").stdout
    assert started == "The number may get again what it might before its STOP.\n"
    stranger = at_home("receive", "sms", "--from", "+13125559999", "--text", "退订").stdout
    assert "Nobody here has it. It is kept as a hash" in " ".join(stranger.split())
    assert "answered by Twilio" in at_home("receive", "sms", "--from", G1, "--text", "HELP").stdout
    with database.begin() as conn:
        said = conn.execute(select(consents).where(consents.c.source == "sms").order_by(consents.c.id)).all()
    assert [(row.state, row.evidence) for row in said] == [("no", "STOP"), ("yes", "START"), ("no", "STOP")]


def test_guests_words_as_twilio_posted_them(at_home, tmp_path):
    file = tmp_path / "kept.jsonl"
    file.write_text(
        kept(texted(G1, "STOP"), texted(G1, "Hello", sid="SM" + "e" * 32), texted(G1, "STOP", key="other")), "utf-8"
    )
    told = at_home("receive", "sms", file)
    assert told.exit_code == 1
    assert told.stdout.splitlines()[:-1] == [
        "1 SMS: nothing was changed; this is none of the words that stop or start.",
        "1 SMS: no more advertising goes to the number.",
        "Read what the guests wrote there, and enter a wish to stop with `regulars customer consent`:",
    ]
    assert told.stdout.splitlines()[-1].endswith("kept.jsonl, line 2")
    assert told.stderr.endswith(
        "line 3: it is not signed by Twilio for the address in `links: base_url`, or was changed since.\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["sms"], "Give --from and --text, or files of kept requests."),
        (["sms", "--from", G1], "Give --from and --text"),
        (["sms", "--text", "STOP"], "Give --from and --text"),
        (["sms", "-", "--from", G1, "--text", "STOP"], "Give --from and --text"),
        (["sms", "--from", "12", "--text", "STOP"], "is too short or too long"),
        (["sms", "--from", "x", "--text", "STOP"], "is not a phone number"),
        (["status"], "Name a file of kept requests"),
        (["status", "no-such-file"], "No such file"),
    ],
)
def test_what_is_mistyped_ends_with_2(at_home, given, said):
    told = at_home("receive", *given, input="")
    assert told.exit_code == 2
    assert said in told.stderr


def test_an_account_without_its_token_is_told(at_home, tmp_path, monkeypatch):
    monkeypatch.delenv("TOKEN")
    file = tmp_path / "kept.jsonl"
    file.write_text(kept(texted(G1, "STOP")), "utf-8")
    told = at_home("receive", "sms", file)
    assert (told.exit_code, "TOKEN" in told.stderr) == (1, True)


def test_texts_that_are_held_back_are_told_by_doctor_and_run(at_home, home, message, database, tmp_path):
    file = tmp_path / "kept.jsonl"
    file.write_text(kept(callback(load_home(home, ENVIRON), message, "undelivered", code=30034)), "utf-8")
    at_home("receive", "status", file)
    for command in ("doctor", "run"):
        told = at_home(command)
        said = " ".join(f"{told.stdout} {told.stderr}".split())
        assert "1 SMS of the last 7 days was held back by the carriers (30034" in said
    with database.begin() as conn:
        assert conn.execute(select(channels.c.failures)).all() == [(5,)]
        conn.execute(insert(channels).values(channel="webhook:x"))
    assert ACCOUNT not in told.stdout
