"""What a person wrote back, by mail or SMS: the word that ends advertising, and whether there is more to read.

A word counts only where it is all that is said; what else somebody wrote is never lost, also where a word was acted on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Words that end advertising, by mail and by SMS: those of Twilio, of Chinese carriers, of our own footers, and what
#: people make of them. A mail may say "Cancel" or "End" of a table: those are words of SMS alone.
STOP: Final = (
    *("STOP", "STOP ALL", "UNSUBSCRIBE", "UNSUBSCRIBE ME", "OPT OUT", "TD"),
    *(
        "退订",
        "退訂",
        "请退订",
        "請退訂",
        "取消订阅",
        "取消訂閱",
        "回复TD",
        "回覆TD",
        "退订回T",
        "退訂回T",
        "回T退订",
        "回T退訂",
    ),
    *("退订回TD", "回TD退订", "回复退订", "回覆退訂"),
)
STOP_BY_SMS: Final = (*STOP, "CANCEL", "END", "QUIT", "REVOKE")

_POLITE: Final = frozenset({"please", "pls", "plz", "thanks", "thank", "you"})
_LONGEST: Final = 200
_SENT_FROM = re.compile(
    r"^\s*(sent (from|via) (my|outlook|mail|yahoo|the)|get outlook for|发自|發自).{0,40}$", re.IGNORECASE
)
#: A mail program's own words in the mail that its unsubscribe button writes.
_GENERATED = re.compile(
    r"^\s*this (e-?mail|mail|message) (was|is|has been) automatically (generated|sent).{0,60}$", re.IGNORECASE
)
_SIGNATURE = re.compile(r"^-- ?$")
_INTRODUCES = re.compile(r"^\s*(on .{1,200} wrote:|am .{1,200} schrieb|在.{1,200}写道)", re.IGNORECASE)
_COPY = re.compile(r"^\s*(-{2,}\s*(original|forwarded|原始)|_{10,}|from:\s|发件人)", re.IGNORECASE)
_ANSWERS = re.compile(
    r"^(\s*(re|aw|sv|vs|antw|wg|fwd?|tr|rif|ref|odp|ynt|res|回复|回覆|答复|转发|轉寄)(\[\d+\])?\s*[:：])+\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a letter says. ``stops``: it is the word that ends advertising; ``more``: a person must read it."""

    stops: bool
    more: bool


def of_letter(subject: str, text: str, *, more: bool = False) -> Said:
    """Judge a mail by its subject and by the text that its reader sees, quotes and all.

    ``more``: it holds what is not in the text, such as a picture. An answer takes its subject from our mail, so there
    the word counts only where the text says nothing else.
    """
    bare_subject = _ANSWERS.sub("", subject)
    answers = bare_subject != subject
    first, all_of_it = _own(text, beyond=False), _own(text, beyond=True)
    more = more or bool(bare(all_of_it) and not is_word(all_of_it))
    stops = is_word(first) or (is_word(bare_subject) and not (answers and more))
    return Said(stops, more or (not answers and bool(bare(bare_subject)) and not is_word(bare_subject)))


def is_word(text: str, words: Collection[str] = STOP) -> bool:
    """Tell whether a text is one of the words and nothing else; letters' size, signs and politeness do not count."""
    said = bare(text)
    return bool(said) and said in map(bare, words)


def bare(text: str) -> str:
    """Give the letters of a text without case, signs, politeness and repetition: ``Stop, please!`` is ``stop``.

    A long text is no word, and is given whole. A line such as "Sent from my phone" is no word of its writer.
    """
    lines = [line for line in text.splitlines() if not _SENT_FROM.match(line)]
    shown = " ".join(" ".join(lines).split())
    if len(shown) > _LONGEST:
        return shown
    folded = unicodedata.normalize("NFKC", shown).casefold()
    words = [word for word in re.findall(r"[^\W_]+", folded) if word not in _POLITE]
    return "".join(words[:1] if len(set(words)) == 1 else words)


def _own(text: str, *, beyond: bool) -> str:
    """Give a mail's own lines, up to the first quoted one; ``beyond``: those below and between the quotes too."""
    lines = []
    for line in text.splitlines():
        quoted = line.lstrip().startswith(">") or _INTRODUCES.match(line) is not None
        if _SIGNATURE.match(line) or _COPY.match(line) or (quoted and not beyond):
            break
        if not quoted and not _SENT_FROM.match(line) and not _GENERATED.match(line):
            lines.append(line)
    return "\n".join(lines)
