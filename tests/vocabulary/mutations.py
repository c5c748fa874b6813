"""Files as owners might send them: right ones, spoilt in the ways in which files get spoilt, and in all others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

ODD_SIGNS = "：，“”‘’「」　\u00a0\u200b\ufeff\u202e\u2066\u0301é漢字👩‍🍳🎉\t\r\x85\u2028`@%*&!|>[]{}?#-:'\"\\~<,;=$€\x00\x07\x1b\x7f\x9b\ud7ff\uffff"
VALUES = (
    "", "null", "true", "no", "0", "-1", "3.5", "1e9", "0x1F", "007", "9" * 30, "-" + "9" * 400, ".5", "1_000", "NaN",
    ".inf", "[]", "{}", "[1, [2, [3]]]", "{a: {b: 1}}", "90", "90 days", "0 days", "99999999 days", "3 hours", "10%",
    "200%", "08:00", "25:00", "10:00-09:00", "2026-02-30", "2026-05-04", "match", "month end", "off", "''", '"x"', "*a",
    "&a b", "!!str 3", "<<", "{{ customer.name }}", "|", ">", "| \n  a\n  b", "@home", "%", "# nothing", "- a", "? a",
    "a: b: c", "'it''s", '"unclosed', "漢字", "“hello”", "x" * 5000, "http://a b", "+1 500 555 0100", "every 7 minutes",
    "0 0 31 2 *", "* * * * *", "daily at 24:00", "CORNER", "win-back",
)  # fmt: skip
WORDS = [
    "id",
    "about",
    "schedule",
    "trigger",
    "conditions",
    "actions",
    "stop_if",
    "priority",
    "purpose",
    "because",
    "topic",
    "send",
    "active",
    "limits",
    "holdout",
    "lapsed",
    "at_risk",
    "birthday",
    "joined",
    "ordered",
    "low_rating",
    "rated",
    "anniversary",
    "every",
    "on_date",
    "reached",
    "referred",
    "event",
    "enters",
    "festival",
    "expiring",
    "tier_changed",
    "orders",
    "visits",
    "spend",
    "points",
    "tag",
    "tier",
    "city",
    "language",
    "store",
    "reachable",
    "segment",
    "any",
    "all",
    "none",
    "within",
    "before",
    "since",
    "channel",
    "product",
    "category",
    "at_least",
    "at_most",
    "between",
    "one_of",
    "none_of",
    "equals",
    "is_not",
    "after",
    "up_to",
    "times",
    "late",
    "email",
    "sms",
    "coupon",
    "alert",
    "wait",
    "split",
    "only_if",
    "webhook",
    "template",
    "subject",
    "offer",
    "valid",
    "to",
    "once_per",
    "always",
    "share",
    "add",
    "remove",
    "from",
    "until",
    "on",
    "spread",
    "again_after",
    "max_matches",
    "name",
    "percent",
    "amount",
    "item",
    "till",
    "stores",
    "business",
    "contacts",
    "exclude",
    "hours",
    "1",
    "true",
    "null",
    "~",
    "''",
    "月",
]

Change = Callable[[Random, list[str]], None]


def mutated(dice: Random, text: str, others: Sequence[str]) -> bytes:
    """Spoil a text in one to five ways; ``others`` are texts from which lines may come."""
    lines = text.split("\n")
    for _ in range(dice.choice((1, 1, 2, 3, 5))):
        dice.choice(CHANGES)(dice, lines) if dice.random() > 0.1 else _graft(dice, lines, others)
    return _saved(dice, "\n".join(lines))


def _place(dice: Random, lines: list[str]) -> int:
    if not lines:
        lines.append("")
    return dice.randrange(len(lines))


def _drop(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    del lines[at : at + dice.choice((1, 1, 1, 3, 20))]


def _twice(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    end = at + dice.choice((1, 1, 3, 10))
    lines[end:end] = lines[at:end]


def _swap(dice: Random, lines: list[str]) -> None:
    one, other = _place(dice, lines), _place(dice, lines)
    lines[one], lines[other] = lines[other], lines[one]


def _indent(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    for number in range(at, min(at + dice.choice((1, 1, 2, 5)), len(lines))):
        how = dice.choice(("", " ", "  ", "   ", "\t", " \t", "\u3000", "\u00a0", "    " * 30))
        lines[number] = how + (lines[number].lstrip() if dice.random() < 0.5 else lines[number])


def _sign(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    where = dice.randrange(len(lines[at]) + 1)
    signs = "".join(dice.choice(ODD_SIGNS) if dice.random() < 0.8 else chr(dice.randrange(0xD7FF)) for _ in range(dice.choice((1, 1, 2, 9))))  # fmt: skip
    keep = where + dice.choice((0, 0, 1))
    lines[at] = lines[at][:where] + signs + lines[at][keep:]


def _colon(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    lines[at] = lines[at].replace(":", dice.choice(("：", ":", " :", "::", "=", "", " ")), 1)
    if dice.random() < 0.5:
        lines[at] = lines[at].replace(": ", ":", 1)


def _value(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    head, colon, _ = lines[at].partition(":")
    written = dice.choice(VALUES)
    lines[at] = f"{head}: {written}" if colon else f"{head[: len(head) - len(head.lstrip())]}- {written}"


def _word(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    word = dice.choice(WORDS)
    found = list(re.finditer(r"[a-z_]+", lines[at]))
    if found:
        chosen = dice.choice(found)
        wrong = chosen[0][1:] + chosen[0][:1] if dice.random() < 0.3 else word
        lines[at] = lines[at][: chosen.start()] + wrong + lines[at][chosen.end() :]
    else:
        lines[at] += f"{word}: {dice.choice(VALUES)}"


def _new_line(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    dash = dice.choice(("", "", "- "))
    lines.insert(at, f"{indent}{dash}{dice.choice(WORDS)}: {dice.choice(VALUES)}")


def _number(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    big = dice.choice(("0", "-3", "1" + "0" * 40, "9" * 5000, "1e400", "٣", "３", "2.5", "99999"))
    lines[at] = re.sub(r"[0-9]+", big, lines[at], count=1)


def _deep(dice: Random, lines: list[str]) -> None:
    at, depth = _place(dice, lines), dice.choice((3, 39, 41, 200, 3000))
    match dice.randrange(4):
        case 0:
            lines[at] += " " + "[" * depth + "]" * dice.choice((depth, 0))
        case 1:
            lines[at] += " " + "{a: " * depth + "1" + "}" * depth
        case 2:
            lines[at:at] = [" " * level + "any:" for level in range(min(depth, 200))]
        case _:
            lines.insert(at, "- " * depth + "x")


def _mark(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    head, colon, rest = lines[at].partition(":")
    mark = dice.choice(("&a", "*a", "!!python/object:os.system", "!tag", "&a &b", "!!binary", "<<: *a", "? "))
    lines[at] = f"{head}{colon} {mark}{rest}" if colon else f"{mark} {head}"


def _join(dice: Random, lines: list[str]) -> None:
    at = _place(dice, lines)
    if at + 1 < len(lines):
        lines[at : at + 2] = [lines[at] + dice.choice(("", " ", ", ", "\r", "\x85")) + lines[at + 1].lstrip()]


def _document(dice: Random, lines: list[str]) -> None:
    lines.insert(_place(dice, lines), dice.choice(("---", "...", "%YAML 1.1", "--- !a", "\x0c", "# ---", "--- |")))


def _much(dice: Random, lines: list[str]) -> None:
    lines *= dice.choice((2, 2, 5, 300))


def _graft(dice: Random, lines: list[str], others: Sequence[str]) -> None:
    other = dice.choice(others).split("\n")
    at, begin = _place(dice, lines), dice.randrange(len(other))
    lines[at : at + dice.choice((0, 3))] = other[begin : begin + dice.choice((1, 4, 30))]


CHANGES: tuple[Change, ...] = (
    _drop, _twice, _swap, _indent, _sign, _colon, _value, _value, _word, _word, _new_line, _new_line, _number, _deep,
    _mark, _join, _document, _much,
)  # fmt: skip


def _saved(dice: Random, text: str) -> bytes:
    """Save it: nearly always as UTF-8, else as some program would, or cut off or damaged on the way."""
    raw = text.encode("utf-8", "surrogatepass")
    at = dice.randrange(len(raw) + 1)
    windows, older = ("utf-16", "utf-16-le", "utf-16-be", "utf-32"), ("gbk", "cp1252", "shift_jis", "latin-1")
    damages: tuple[Callable[[], bytes], ...] = (
        lambda: text.encode(dice.choice(windows), "replace"),
        lambda: text.encode(dice.choice(older), "replace"),
        lambda: b"\xef\xbb\xbf" + raw,
        lambda: raw[:at],
        lambda: raw[:at] + bytes(dice.randrange(256) for _ in range(3)) + raw[at:],
        lambda: raw.replace(b"\n", dice.choice((b"\r\n", b"\r", b"\n\n", b"\x00\n"))),
    )
    return dice.choice(damages)() if dice.random() < 0.2 else raw
