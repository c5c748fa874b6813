"""Names and addresses that somebody made up to break mail, and whatever chance makes of their pieces."""

from __future__ import annotations

import random

NAMES = (
    "a =?utf-8?q?x?= <attacker@evil.example>,",
    "=?utf-8?b?PGF0dGFja2VyQGV2aWwuZXhhbXBsZT4=?=",
    "Li\r\nBcc: attacker@evil.example",
    "Li\nSubject: owned",
    "Li\rTo: attacker@evil.example",
    "\r\n.\r\nMAIL FROM:<attacker@evil.example>\r\n",
    "\n.\n",
    ".",
    "..",
    "a\x00b",
    "\x01\x02\x1b[31m\x7f\x85\u2028\u2029",
    "\u202eevil\u202c\u2066x\u2069\u200f\u200e",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></table></body></html><p>",
    "' onmouseover='x",
    "&lt;b&gt; &amp; &#60;",
    "{{ 7 * 7 }}{% for x in (1, 2) %}{{ x }}{% endfor %}{# gone #}",
    "{{ customer.__class__.__mro__ }}",
    "<mj-raw><script>x</script></mj-raw><mjml>",
    "]]><!--",
    'O\'Brien \\ "Q" (comment) <x@y.example>, z;',
    "li@evil.example",
    "@@@",
    "مرحبا",
    "שלום",
    "👩‍👩‍👧‍👦🇨🇳",
    "王小明",
    "e\u0301\u0301\u0301",
    "\u00ad\ufeff\u200b",
    "--=_boundary--",
    "--",
    "-- ",
    "Content-Type: text/html\r\n\r\n<b>",
    "From here",
    "%0d%0aBcc:x@evil.example",
    "=0D=0A.=0D=0A",
    "x" * 10_000,
    "名" * 5_000,
    "<" * 1_000,
    "a" * 998 + " b",
)
#: With what an address may be written that servers take.
ADDRESSES = (
    "li@example.com",
    "li+tag@example.com",
    "o'brien@example.com",
    "a.b-c_d!#$%&'*+/=?^`{|}~@example.com",
    "li@sub.müller.example",
    "李@example.com",
    "李@例子.example",
    "ü@bücher.example",
    "LI@EXAMPLE.COM",
)
#: With what nothing may be accepted but for what it says, if that.
CROOKED = (
    '"li wei"@example.com',
    '"a@b"@example.com',
    '"a\\"b"@example.com',
    "a@b@example.com",
    "li@example.com, attacker@evil.example",
    "li@example.com>, <attacker@evil.example",
    "<attacker@evil.example>li@example.com",
    "li@example.com\r\nRCPT TO:<attacker@evil.example>",
    "li@example.com\nBcc: attacker@evil.example",
    "li@[127.0.0.1]",
    "li@example.com\x00@evil.example",
    "li;attacker@evil.example",
    "(comment)li@example.com",
    "li@exa mple.com",
    "=?utf-8?q?li?=@example.com",
    "@example.com",
    "li@",
    "li@-bad-.example" + "x" * 70,
    "\u202eli@example.com",
    "li@xn--a.example",
    ".@.",
)
#: An address with one of these need not be written to.
MARKS = (*'"<>()[];,\\ \r\n\0\u202e', "=?", "xn--a", "-bad-", ".@.")


def a_name(chance: random.Random) -> str:
    """Put pieces together, or a part of them."""
    pieces = chance.choices(NAMES, k=chance.choice((1, 1, 2, 3)))
    if chance.random() < 0.4:
        pieces.append(
            "".join(
                chr(chance.choice((chance.randrange(1, 0x250), chance.randrange(0x2000, 0x2100)))) for _ in range(8)
            )
        )
    chance.shuffle(pieces)
    name = chance.choice(("", " ", "\r\n", ",")).join(pieces)
    cut = chance.randrange(len(name)) if chance.random() < 0.2 else 0
    return name[cut:]


def an_address(chance: random.Random, number: int) -> str:
    """Give an address that nobody else has: crooked ones now and then."""
    text = chance.choice(CROOKED if chance.random() < 0.15 else ADDRESSES)
    return f"g{number}.{text}" if chance.random() < 0.9 else text.replace("@", f"{number}@", 1)
