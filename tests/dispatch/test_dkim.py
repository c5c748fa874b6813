"""Signed mail, as two verifiers of others read it: dkimpy and opendkim."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import timedelta

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch.channels import CannotSendError
from engine.dispatch.dkim import Signer, SigningKey, SigningKeyError, differs, load_key, new_key, record_text, sign
from engine.dispatch.mime import check_bytes
from engine.language.secret import Secret
from engine.language.signing import DkimConfig, parse_record

from .test_mime import DATE, PNG, build

KEYS = [
    SigningKey("mail2026", "corner.example", load_key(new_key("rsa").decode())),
    SigningKey("ed", "corner.example", load_key(new_key("ed25519").decode())),
]
RSA, ED25519 = KEYS
RECORDS = {f"{each.selector}._domainkey.{each.domain}": record_text(each.private) for each in KEYS}
OPENDKIM = shutil.which("opendkim", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MAILS = {
    "plain text": {"html": None},
    "text and page": {},
    "with a picture": {"html": '<p>Show this: <img src="cid:qr"></p>', "images": {"qr": PNG}},
    "in Chinese": {"subject": "老朋友，" * 20, "text": "您好 \n\n 再见\t \n\n\n", "html": "<p>您好</p>"},
    "service": {"unsubscribe_url": None},
    "stopped by a reply": {"unsubscribe_url": "mailto:hello@corner.example?subject=unsubscribe"},
    "blanks and empty lines": {"text": "a  b \t c   \n \n\n\n", "html": None, "unsubscribe_url": None},
}


def signed(keys=KEYS, **changes):
    return build(**changes, signed=lambda data: sign(data, keys, DATE))


def dns(name, timeout=5):
    return RECORDS[name.decode().rstrip(".")].encode()


def holds(data, number=0):
    try:
        return dkimpy.DKIM(data).verify(idx=number, dnsfunc=dns)
    except dkimpy.ValidationError:  # so it says that the body is another
        return False


@pytest.mark.parametrize("mail", MAILS)
def test_both_signatures_hold_for_dkimpy(mail):
    data = signed(**MAILS[mail])
    check_bytes(data)
    assert data.count(b"DKIM-Signature:") == 2
    assert holds(data, 0)
    assert holds(data, 1)


def opendkim(data, tmp_path):
    if OPENDKIM is None:
        if os.environ.get("REGULARS_REQUIRE_FAULTS"):
            pytest.fail("opendkim is not installed here")
        pytest.skip("opendkim is not installed here: apt-get install opendkim")
    (tmp_path / "dns").write_text("".join(f"{name} {text}\n" for name, text in RECORDS.items()))
    (tmp_path / "conf").write_text(f"Mode v\nTestDNSData {tmp_path}/dns\nOn-BadSignature reject\n")
    (tmp_path / "mail.eml").write_bytes(data)
    command = [OPENDKIM, "-x", str(tmp_path / "conf"), "-t", str(tmp_path / "mail.eml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (
        ran.returncode == 0 and "verification (s=" in ran.stderr + ran.stdout and "succeeded" in ran.stderr + ran.stdout
    )


@pytest.mark.parametrize("keys", [[RSA], [ED25519]], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("mail", MAILS)
def test_the_signature_holds_for_opendkim_and_not_after_a_change(mail, keys, tmp_path):
    data = signed(keys, **MAILS[mail])
    assert opendkim(data, tmp_path)
    assert not opendkim(data.replace(b"hello@corner.example", b"jello@corner.example", 1), tmp_path)


SPOILT = {
    "another sender": lambda data: data.replace(b"From: ", b"From: x", 1),
    "another subject": lambda data: data.replace(b"Subject: Hello", b"Subject: Hullo"),
    "another reader": lambda data: data.replace(b"To: li@", b"To: eve@"),
    "another day": lambda data: data.replace(b"Date: Mon", b"Date: Tue"),
    "another body": lambda data: data.replace(b"Hello Li", b"Hello Lo", 1),
    "something after the body": lambda data: data + b"one more line\r\n",
    "another way out": lambda data: data.replace(
        b"List-Unsubscribe: <https://corner", b"List-Unsubscribe: <https://evil"
    ),
    "no way out": lambda data: data.replace(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
    "another type": lambda data: data.replace(
        b"Content-Type: multipart/alternative", b"Content-Type: multipart/mixed", 1
    ),
    "a second sender": lambda data: b"From: eve@evil.example\r\n" + data,
    "a second subject": lambda data: b"Subject: Pay here\r\n" + data,
    "a second reader": lambda data: b"To: eve@evil.example\r\n" + data,
    "an address for replies": lambda data: b"Reply-To: eve@evil.example\r\n" + data,
    "a second way out": lambda data: b"List-Unsubscribe: <https://evil.example>\r\n" + data,
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_changed_or_added_on_the_way_breaks_both(spoil):
    data = signed()
    spoilt = SPOILT[spoil](data)
    assert spoilt != data
    for number in (0, 1):
        assert not holds(spoilt, number)


def test_what_a_relay_does_on_the_way_breaks_nothing():
    data = b"Received: from here by there; Mon, 4 May 2026 15:00:01 +0000\r\n" + signed()
    data = data.replace(b"Subject: Hello", b"SUBJECT:   Hello  ") + b"\r\n\r\n"
    assert holds(data, 0)
    assert holds(data, 1)


def test_the_same_message_is_signed_with_the_same_bytes_and_a_later_try_with_its_own_moment():
    assert signed() == signed()
    later = build(date=DATE + timedelta(hours=1), signed=lambda data: sign(data, KEYS, DATE + timedelta(hours=1)))
    moments = [re.search(rb" t=(\d+);", each)[1] for each in (signed(), later)]
    assert int(moments[1]) - int(moments[0]) == 3600
    assert int(moments[0]) == DATE.timestamp()


def test_no_line_of_a_signature_is_long_and_none_has_an_encoded_word():
    key = SigningKey("a" * 60, ".".join(["b" * 60] * 3), RSA.private)
    head = signed([key, *KEYS]).partition(b"\r\nFrom:")[0]
    assert max(map(len, head.split(b"\r\n"))) < 220
    assert max(map(len, signed().partition(b"\r\nFrom:")[0].split(b"\r\n"))) <= 78
    assert b"=?" not in head
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", head)


@settings(max_examples=60, deadline=None)
@given(subject=st.text(max_size=200), text=st.text(max_size=400), page=st.text(max_size=200))
def test_whatever_a_template_makes_is_signed_so_that_it_holds(subject, text, page):
    data = signed([ED25519], subject=subject, text=text, html=f"<p>{page}</p>")
    check_bytes(data)
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert holds(data)


# ---------------------------------------------------------------------------------------------------------------------
# Keys, and their records.


def pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "not a private key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither RSA nor Ed25519"),
        (pem(rsa.generate_private_key(65537, 1024)).replace("A", "", 1), "not a private key"),
    ],
)
def test_what_is_no_key_for_signing_is_told_and_never_shown(text, says):
    with pytest.raises(SigningKeyError, match=says) as caught:
        load_key(text)
    assert text[-40:] not in str(caught.value)


def test_a_key_with_a_password_is_told():
    form, lock = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    locked = ED25519.private.private_bytes(serialization.Encoding.PEM, form, lock).decode()
    with pytest.raises(SigningKeyError, match="password"):
        load_key(locked)


def test_a_record_is_compared_with_its_key_in_every_form_in_which_it_is_published():
    text = record_text(RSA.private)
    pieces = f'"{text[:100]}" "{text[100:]}"'
    bare = RSA.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
    old = f"v=DKIM1; p={''.join(bare.splitlines()[1:-1])}"
    for published in (text, pieces, f"mail._domainkey IN TXT ( {pieces} )", text.replace("; ", "\\; "), old):
        assert differs(RSA.private, parse_record(published)) is None
    assert differs(ED25519.private, parse_record(record_text(ED25519.private))) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: record_text(load_key(new_key("rsa").decode())), "another key"),
        (lambda _: record_text(ED25519.private), "of the kind ed25519"),
        (lambda text: f"{text}; h=sha1", "sha256"),
        (lambda text: f"{text}; s=tlsrpt", "not for email"),
        (lambda text: f"{text}; t=y:s", "only a test"),
    ],
)
def test_a_record_that_does_not_fit_is_told(change, says):
    assert says in differs(RSA.private, parse_record(change(record_text(RSA.private))))


def test_without_its_key_no_mail_is_made(tmp_path):
    config = DkimConfig("mail", Secret("file:secrets/none.pem", tmp_path, {}), "corner.example")
    with pytest.raises(CannotSendError, match="does not exist"):
        Signer([config]).at(DATE)
    (tmp_path / "none.pem").write_text("hello")
    with pytest.raises(CannotSendError, match=r"none.pem is not a private key"):
        Signer([DkimConfig("m", Secret("file:none.pem", tmp_path, {}), "d.example")]).at(DATE)
