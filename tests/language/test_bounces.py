"""``email: bounces:`` of the config: what is read of it, and what is told of mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.language.config import Config, load_config
from engine.language.problems import Problem, to_text

LEAST = """\
business: {name: Blue Door, address: "4 Quay Street, Galway", country: IE, timezone: Europe/Dublin, currency: EUR}
email:
  from: Blue Door <hello@bluedoor.ie>
"""


def load(root: Path, section: str) -> tuple[Config, list[Problem]]:
    (root / "config").mkdir(exist_ok=True)
    (root / "config" / "regulars.yaml").write_text(f"{LEAST}{section}", encoding="utf-8")
    config, _, problems = load_config(root, {"PW": "hunter2"})
    assert config is not None
    return config, problems


def test_left_out_nothing_comes_back(tmp_path: Path):
    config, problems = load(tmp_path, "")
    assert (problems, config.email.bounces) == ([], None)


def test_an_address_alone_is_enough(tmp_path: Path):
    config, problems = load(tmp_path, "  bounces: {address: bounces@bluedoor.ie}\n")
    assert problems == []
    assert config.email.bounces is not None
    assert (config.email.bounces.address, config.email.bounces.read) == ("bounces@bluedoor.ie", False)


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_a_place_on_disk_is_of_the_home(tmp_path: Path, kind: str):
    config, problems = load(tmp_path, f"  bounces: {{address: bounces@bluedoor.ie, from: {{{kind}: mail/back}}}}\n")
    assert problems == []
    assert config.email.bounces is not None
    assert getattr(config.email.bounces, kind) == tmp_path / "mail" / "back"
    assert config.email.bounces.read


@pytest.mark.parametrize(
    ("more", "port", "tls", "folder"),
    [
        ("", 993, "tls", "INBOX"),
        (", tls: starttls", 143, "starttls", "INBOX"),
        (", port: 1993, folder: Back", 1993, "tls", "Back"),
    ],
)
def test_a_mailbox_at_a_provider_has_its_usual_port(tmp_path: Path, more: str, port: int, tls: str, folder: str):
    imap = f"{{host: imap.bluedoor.ie, user: b, password: env:PW{more}}}"
    config, problems = load(tmp_path, f"  bounces: {{address: bounces@bluedoor.ie, from: {{imap: {imap}}}}}\n")
    assert problems == [], to_text(problems)
    assert config.email.bounces is not None
    found = config.email.bounces.imap
    assert found is not None
    assert (found.host, found.port, found.tls, found.user, found.folder) == ("imap.bluedoor.ie", port, tls, "b", folder)
    assert found.password.reveal() == "hunter2"
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("section", "code", "severity"),
    [
        ("{}", "missing-key", "error"),
        ("{address: bounces}", "bad-email-address", "error"),
        ("{address: a+b@bluedoor.ie}", "bad-bounce-address", "error"),
        ("{address: tür@bluedoor.ie}", "bad-bounce-address", "error"),
        (f"{{address: {'b' * 35}@bluedoor.ie}}", "bad-bounce-address", "error"),
        ("{address: bounces@elsewhere.ie}", "foreign-bounce-domain", "warning"),
        ("{address: b@bluedoor.ie, from: {}}", "empty", "error"),
        ("{address: b@bluedoor.ie, from: {mbox: a, maildir: b}}", "too-many", "error"),
        ("{address: b@bluedoor.ie, from: {imap: {host: i.ie, user: u}}}", "missing-key", "error"),
        ("{address: b@bluedoor.ie, from: {imap: {host: i.ie, user: u, password: hunter2}}}", "secret-in-clear", "error"),
        ("{address: b@bluedoor.ie, from: {imap: {host: i.ie, user: u, password: env:PW, tls: none}}}", "open-password", "warning"),
        ("{address: b@bluedoor.ie, from: {imap: {host: i.ie, user: u, password: env:PW, tls: no}}}", "not-one-of", "error"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(tmp_path: Path, section: str, code: str, severity: str):
    config, problems = load(tmp_path, f"  bounces: {section}\n")
    assert [(each.code, each.severity) for each in problems] == [(code, severity)], to_text(problems)
    assert config.sound == (severity == "warning")


@pytest.mark.parametrize("address", ["b@bluedoor.ie", "b@mail.bluedoor.ie", "b@BlueDoor.IE"])
def test_a_part_of_the_senders_domain_vouches_for_it(tmp_path: Path, address: str):
    assert load(tmp_path, f"  bounces: {{address: {address}}}\n")[1] == []


def test_the_sample_address_is_refused_where_real_mail_goes_out(tmp_path: Path):
    smtp = "  connector: smtp\n  smtp: {host: mail.bluedoor.ie}\n  bounces: {address: bounces@corner.example}\n"
    problems = load(tmp_path, smtp)[1]
    assert sorted(each.code for each in problems) == ["foreign-bounce-domain", "sample-value"]
