from __future__ import annotations

import email
import email.policy
import html
from datetime import UTC, datetime
from email.header import decode_header, make_header
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch.mime import MessageError, check_bytes, email_bytes
from engine.dispatch.plaintext import text_of
from engine.dispatch.render import RenderedEmail

BUSINESS = SimpleNamespace(name="Corner Café Ltd", address="12 Mill Lane, Springfield, IL 62701")
SENDER = SimpleNamespace(name="Corner Café", address="hello@corner.example")
URL = "https://corner.example/r/u/AAAAAAAAAAAAAAAAAAA"
DATE = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def build(**changes):
    rendered = RenderedEmail(
        changes.pop("subject", "Hello"),
        changes.pop("text", "Hello Li"),
        changes.pop("html", "<html><body><p>Hello Li</p></body></html>"),
        changes.pop("images", {}),
        changes.pop("language", "en"),
    )
    given = {
        "sender": SENDER,
        "recipient": "li@guest.example",
        "message_id": "<abcdef@corner.example>",
        "date": DATE,
        "unsubscribe_url": URL,
        "business": BUSINESS,
    }
    return email_bytes(rendered, **{**given, **changes})


def parse(data, policy=email.policy.default):
    return email.message_from_bytes(data, policy=policy)


def parts(data):
    message = parse(data)
    plain, page = message.get_body(("plain",)), message.get_body(("html",))
    return plain.get_content(), page.get_content() if page is not None else None


def test_the_headers_are_what_a_mail_program_and_the_law_expect():
    message = parse(build())
    assert message["From"] == "Corner Café <hello@corner.example>"
    assert message["To"] == "li@guest.example"
    assert message["Subject"] == "Hello"
    assert message["Date"].datetime == DATE
    assert message["Message-ID"] == "<abcdef@corner.example>"
    assert message["List-Unsubscribe"] == f"<{URL}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["MIME-Version"] == "1.0"


def test_the_parts_are_text_html_and_pictures_in_the_right_order():
    data = build(html='<p>x<img src="cid:qr@coupon"></p>', images={"qr@coupon": PNG, "unused@coupon": PNG})
    message = parse(data)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    picture = list(message.walk())[-1]
    assert picture["Content-ID"] == "<qr@coupon>"
    assert picture.get_content() == PNG
    assert picture.get_content_disposition() == "inline"


def test_a_text_alone_is_one_part():
    message = parse(build(html=None))
    assert message.get_content_type() == "text/plain"


def test_the_same_message_has_the_same_bytes_on_every_attempt():
    made = {"html": '<img src="cid:qr@coupon">', "images": {"qr@coupon": PNG}}
    assert build(**made) == build(**made)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("short and plain", "7bit"),
        ("x" * 5000, "quoted-printable"),
        ("a small café", "quoted-printable"),
        ("三个月没见了", "base64"),
        ("a\rb\r\nc\n.\nFrom me", "7bit"),
    ],
)
def test_every_text_arrives_whole_and_in_seven_bits(text, encoding):
    data = build(text=text, html=None, unsubscribe_url=None)
    assert data.isascii()
    assert parse(data)["Content-Transfer-Encoding"] == encoding
    assert parse(data).get_content().removesuffix("\n").splitlines() == text.splitlines()


def test_marketing_mail_gets_name_address_and_a_way_out_that_can_be_seen():
    for shown in parts(build()):
        seen = text_of(shown) if "<p>" in shown else shown
        assert BUSINESS.name in seen
        assert BUSINESS.address in seen
        assert f"Unsubscribe: {URL}" in seen or f"Unsubscribe ({URL})" in seen


def test_what_only_a_program_could_see_does_not_count():
    hidden = f'<div style="display:none">{html.escape(BUSINESS.name)} {BUSINESS.address} <a href="{URL}">x</a></div><!-- {URL} --><p>Hi</p>'
    _, page = parts(build(html=hidden))
    assert f"Unsubscribe ({URL})" in text_of(page)
    assert BUSINESS.address in text_of(page)


def test_a_template_that_shows_all_three_is_left_as_it_is():
    text = f"Hello. Corner  café Ltd,\n12 Mill Lane, Springfield, IL 62701. Stop: {URL}"
    page = f'<body><p>{BUSINESS.name}</p><p>{BUSINESS.address}</p><a href="{URL}">Stop</a></body>'
    plain, shown = parts(build(text=text, html=page))
    assert plain.strip().splitlines() == text.splitlines()
    assert shown.strip() == page


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Unsubscribe"),
        ("zh-Hans", "退订"),
        ("zh-Hant-HK", "取消訂閱"),
        ("zh-TW", "取消訂閱"),
        ("sw", "Unsubscribe"),
    ],
)
def test_the_footer_speaks_the_templates_language(language, words):
    plain, page = parts(build(language=language))
    assert words in plain
    assert words in text_of(page)


def test_a_home_without_a_page_asks_for_a_reply():
    mailto = "mailto:hello@corner.example?subject=unsubscribe"
    data = build(unsubscribe_url=mailto)
    message = parse(data)
    assert message["List-Unsubscribe"] == f"<{mailto}>"
    assert message["List-Unsubscribe-Post"] is None
    for shown in parts(data):
        assert "unsubscribe" in shown
        assert "reply with the word" in shown


def test_service_mail_has_no_list_headers_and_no_footer():
    data = build(unsubscribe_url=None)
    assert b"List-" not in data
    assert parts(data)[0].strip() == "Hello Li"


def test_a_preview_is_marked_and_cannot_unsubscribe_the_guest_from_a_button():
    data = build(test=True)
    assert parse(data)["Subject"] == "TEST: Hello"
    assert b"List-Unsubscribe" not in data


def test_marketing_mail_without_a_postal_address_is_not_built():
    with pytest.raises(MessageError, match="needs the business's postal address"):
        build(business=SimpleNamespace(name="Corner Café", address=" "))


def test_a_long_unsubscribe_link_stays_one_unencoded_line():
    url = "https://a-rather-long-subdomain.of-a-rather-long-domain.example/regulars/for/guests/u/AAAAAAAAAAAAAAAAAAA"
    data = build(unsubscribe_url=url)
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in data


@pytest.mark.parametrize(
    "recipient",
    [
        "a =?utf-8?q?x?= <attacker@evil.example>",
        "li@x.example, eve@evil.example",
        "li@x.example\r\nBcc: eve@evil.example",
        "li",
        "",
        "li@x@y.example",
        "<li@x.example>",
        "li\u00a0@x.example",
        "li.@x.example",
        ".li@x.example",
        "li..wei@x.example",
        "li@x..example",
        "li@.",
    ],
)
def test_a_recipient_that_is_not_one_bare_address_is_refused_and_not_repeated(recipient):
    with pytest.raises(MessageError) as caught:
        build(recipient=recipient)
    assert str(caught.value) == "the recipient's address cannot stand in a message"


def test_a_domain_in_another_script_travels_in_ascii():
    assert parse(build(recipient="li@例子.example"))["To"] == "li@xn--fsqu00a.example"


PIECES = [
    "\r\n",
    "\nBcc: eve@evil.example",
    "=?utf-8?q?x?=",
    "<attacker@evil.example>,",
    "\u202e",
    ",",
    ";",
    "<script>",
    "{{ 7*7 }}",
    "李小龍",
    "é",
    '"',
    "\\",
    "\x00",
    "\t",
    " ",
    "a" * 90,
    "=?",
    "?=",
    "\u2028",
]
HOSTILE = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))


@settings(max_examples=200, deadline=None)
@given(HOSTILE, HOSTILE)
def test_no_name_however_hostile_changes_recipients_or_headers(subject, name):
    sender = SimpleNamespace(
        name=" ".join("".join(c for c in name if c.isprintable()).split()), address="hello@corner.example"
    )
    line = " ".join("".join(c for c in subject if c.isprintable() or c.isspace()).split()) or "x"  # as render gives it
    line = line.encode("utf-8", "replace").decode()
    data = build(subject=line, sender=sender, text=f"Dear {subject}", html=f"<p>Dear {html.escape(subject)}</p>")
    check_bytes(data)
    for policy in (email.policy.default, email.policy.SMTP, email.policy.compat32):
        message = parse(data, policy)
        assert message.get_all("To") == ["li@guest.example"]
        assert message.get_all("Bcc") is None
        assert set(message.keys()) == {
            "From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type",
        }  # fmt: skip
        assert str(message["List-Unsubscribe"]) == f"<{URL}>"
        assert str(make_header(decode_header(data_header(data, "Subject")))) == line
    modern = parse(data)
    assert [str(each.addr_spec) for each in modern["To"].addresses] == ["li@guest.example"]
    assert [each.addr_spec for each in modern["From"].addresses] == ["hello@corner.example"]
    shown = str(make_header(decode_header(data_header(data, "From"))))
    address = "hello@corner.example"
    assert shown in ({f"{sender.name} <{address}>", f'"{sender.name}" <{address}>'} if sender.name else {address})


def data_header(data, name):
    return email.message_from_bytes(data, policy=email.policy.compat32)[name].replace("\r\n", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a\nb", "bare line end"),
        (b"a\rb\r\n", "bare line end"),
        (b"Subject: " + b"x" * 999 + b"\r\n\r\n", "line of more than 998"),
        (b"Subject: x\r\nSubject: y\r\n\r\n", "broken or repeated header"),
        (b"nonsense\r\n\r\n", "broken or repeated header"),
        (b"List-Unsubscribe: =?utf-8?q?x?=\r\n\r\n", "List-Unsubscribe holds an encoded word"),
        (b"Message-ID: <a\r\n =?utf-8?q?x?=>\r\n\r\n", "Message-ID holds an encoded word"),
        (b"To: =?utf-8?q?x?= <a@b.example>\r\n\r\n", "To holds an encoded word"),
        (b"Subject: x\r\n\r\nbody\r\n", "lacks a header"),
    ],
)
def test_bytes_that_are_not_fit_to_leave_are_refused(data, said):
    with pytest.raises(MessageError, match=said):
        check_bytes(data)


@pytest.mark.parametrize(
    "changes",
    [{"message_id": f"<{'a' * 1000}@corner.example>"}, {"unsubscribe_url": f"https://corner.example/{'a' * 999}"}],
)
def test_no_message_is_given_out_whose_bytes_are_not_right(changes):
    with pytest.raises(MessageError):
        build(**changes)
