from __future__ import annotations

import email
from email.message import EmailMessage
from email.policy import SMTP
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dispatch.mimeparts import body

POLICY = SMTP.clone(cte_type="7bit")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LINES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=200),
        st.sampled_from(
            [".", "From me", "--=_", "a ", "\t", "=20", "x" * 76, "x" * 77, "é" * 40, "三个月" * 40, "\x00", "\x0b"]
        ),
    ),
    max_size=6,
).map("\n".join)


def by_the_library(text: str, page: str | None, images: dict[str, bytes]) -> EmailMessage:
    message = EmailMessage(policy=POLICY)
    message.set_content(text, cte="base64")
    if page is not None:
        message.add_alternative(page, subtype="html", cte="base64")
        for name, png in images.items():
            if f"cid:{name}" in page:
                part = message.get_payload()[-1]
                part.add_related(png, "image", "png", cid=f"<{name}>", disposition="inline", filename="code.png")
    return email.message_from_bytes(message.as_bytes(), policy=POLICY)


def read(message: EmailMessage) -> list[tuple[object, ...]]:
    """What a mail program sees: each part with its type, name and content, in order."""
    return [
        (part.get_content_type(), part.get_content_charset(), part["Content-ID"], part.get_content_disposition(),
         part.get_filename(), None if part.is_multipart() else part.get_payload(decode=True))
        for part in message.walk()
    ]  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(LINES, st.none() | LINES, st.booleans(), st.lists(st.integers(0, 300), max_size=6))
@example("", "", True, [])
@example("a line end alone\n", "<p>\n\n", False, [])
@example("trailing blanks  \nand a tab\t\nend ", None, False, [])
@example("", "é" + "x" * 75 + "\n" + "y" * 76 + " \n.\nz", False, [76, 77, 78, 152, 153, 154, 155, 156])
@example("", "é" + " " * 300, False, [70, 71, 72, 73, 74, 75, 76, 150])
@example("", "é\n" + "x" * 75 + "\n", False, [2, 77, 78])
def test_the_library_reads_the_same_as_from_its_own(text, page, pictured, cuts):
    images = {"qr-1@coupon": PNG, "qr-2@coupon": PNG[::-1]}
    page = page if page is None or not pictured else f'{page}<img src="cid:qr-2@coupon">'
    cuts = [0, *sorted(cuts), 10_000]
    pieces = [(page or "")[start:end] for start, end in pairwise(cuts)] if len(cuts) > 2 else []
    data = body(text, page, images, "<a@b.example>", pieces)
    assert data.isascii()
    assert all(len(line) <= 76 and b"\r" not in line and b"\n" not in line for line in data.split(b"\r\n"))
    ours = email.message_from_bytes(data, policy=POLICY)
    assert ours.defects == []
    assert read(ours) == read(by_the_library(text, page, images))


@pytest.mark.parametrize("text", ["a\r\nb\rc\n", "a\nb\nc"])
def test_every_line_end_becomes_the_one_of_mail(text):
    assert email.message_from_bytes(body(text, None, {}, "<a@b.example>")).get_payload() == "a\r\nb\r\nc\r\n"


def test_half_a_sign_becomes_a_question_mark():
    message = email.message_from_bytes(body("a\ud800b", None, {}, "<a@b.example>"))
    assert message.get_payload(decode=True) == b"a?b\r\n"


def test_two_messages_have_boundaries_of_their_own_and_one_message_the_same():
    one, again, other = (body("a", "<p>a", {}, name) for name in ("<1@b.example>", "<1@b.example>", "<2@b.example>"))
    assert one == again != other
