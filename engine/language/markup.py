"""MJML and HTML that hold Jinja: how they are checked, compiled and inlined without touching the Jinja in them.

Neither ``mjml`` nor ``css_inline`` knows Jinja, and both rewrite what they read. So its tags are hidden first and put
back afterwards. Where a tag stands decides what hides it: inside a tag or a text a word, between the rows of a table a
comment (HTML moves loose words out of tables), between MJML's sections ``mj-raw`` (MJML drops loose words in silence).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from engine.language.phrases import phrase
from engine.language.problems import Problem, whole_file
from engine.language.templatecheck import problem_at
from engine.language.wording import did_you_mean

if TYPE_CHECKING:
    from css_inline import CSSInliner

_HIDDEN = re.compile(r"<!--jinja(\d+)x-->|<mj-raw>jinja(\d+)x</mj-raw>|jinja(\d+)x")
_TAG = r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"
_JINJA = re.compile(_TAG, re.DOTALL)
_TOKEN = re.compile(
    r"(?P<comment><!--.*?-->)"
    rf"|(?P<jinja>{_TAG})"
    r"|<(?P<end>/?)(?P<name>[A-Za-z][\w:-]*)"
    rf"(?P<rest>(?:{_TAG}|\"(?:{_TAG}|[^\"])*\"|'(?:{_TAG}|[^'])*'|[^<>\"'])*)>"
    r"|(?P<text>[^<{]+|.)",
    re.DOTALL,
)

#: Elements of MJML whose inside is HTML or text, not MJML.
_TEXTS = frozenset(
    {
        "mj-text",
        "mj-button",
        "mj-raw",
        "mj-table",
        "mj-style",
        "mj-title",
        "mj-preview",
        "mj-navbar-link",
        "mj-social-element",
        "mj-accordion-title",
        "mj-accordion-text",
    }
)
_STRUCTURE = frozenset(
    {
        "mjml",
        "mj-head",
        "mj-body",
        "mj-attributes",
        "mj-all",
        "mj-class",
        "mj-breakpoint",
        "mj-font",
        "mj-html-attributes",
        "mj-selector",
        "mj-html-attribute",
        "mj-wrapper",
        "mj-section",
        "mj-group",
        "mj-column",
        "mj-hero",
        "mj-accordion",
        "mj-accordion-element",
        "mj-carousel",
        "mj-carousel-image",
        "mj-divider",
        "mj-image",
        "mj-navbar",
        "mj-social",
        "mj-spacer",
    }
)
_TAGS = _TEXTS | _STRUCTURE
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "source"})
_RAW_TEXT = frozenset({"style", "script", "title", "textarea"})


class MarkupError(Exception):
    """MJML that cannot be compiled; the text is MJML's own and quotes nothing of a guest."""


def mjml_to_html(source: str, language: str = "") -> str:
    """Compile MJML that holds Jinja to HTML that holds the same Jinja. ``MarkupError`` where MJML gives up."""
    from mjml import mjml2html

    hidden, tags = _hide(source, in_mjml=True)
    if language:
        hidden = re.sub(r"<mjml(?![^>]*\slang=)", f'<mjml lang="{language}"', hidden, count=1)
    try:
        html: str = mjml2html(hidden)
    except ValueError as error:
        raise MarkupError(str(error)) from None
    return _show(html, tags)


def inline_css(html: str) -> str:
    """Move the rules of ``<style>`` into ``style`` attributes; ``@media`` stays where it is. Jinja is left alone."""
    hidden, tags = _hide(html, in_mjml=False)
    return _show(_inliner().inline(hidden), tags)


def check_mjml(source: str, shown: str) -> list[Problem]:
    """Find what MJML would drop in silence or refuse without a place: unknown and unclosed tags, loose text."""
    problems: list[Problem] = []
    open_tags: list[tuple[str, int]] = []
    line = 1
    for token in _TOKEN.finditer(source):
        name = (token["name"] or "").lower()
        if name:
            problems.extend(_check_tag(token, name, open_tags, source, shown, line))
        elif token["text"] and token["text"].strip():
            problems.extend(_check_loose(token["text"], open_tags, source, shown, line))
        line += token[0].count("\n")
    problems.extend(
        problem_at(source, shown, at, f"<{name}", phrase("<{tag}> is never closed", tag=name), "mjml-unclosed")
        for name, at in open_tags
    )
    if problems:
        return problems
    try:
        mjml_to_html(source)
    except MarkupError as error:
        return [whole_file(shown, phrase("MJML cannot read this file: {why}", why=str(error)), "mjml")]
    return []


def _check_tag(  # noqa: PLR0917 (a tag and its place)
    token: re.Match[str], name: str, open_tags: list[tuple[str, int]], source: str, shown: str, line: int
) -> list[Problem]:
    written = f"<{token['end']}{token['name']}"
    if token["end"]:
        if open_tags and open_tags[-1][0] == name:
            open_tags.pop()
            return []
        said = phrase("</{tag}> closes nothing here: nothing is open", tag=name)
        if open_tags:
            other, since = open_tags[-1]
            said = phrase(
                "</{tag}> closes nothing here: <{other}> of line {line} is still open",
                tag=name,
                other=other,
                line=since,
            )
        if any(name == opened for opened, _ in open_tags):
            while open_tags.pop()[0] != name:
                pass
        return [problem_at(source, shown, line, written, said, "mjml-unclosed")]
    problems = []
    in_text = bool(open_tags) and any(opened in _TEXTS for opened, _ in open_tags)
    if name == "mj-include":
        problems.append(
            problem_at(source, shown, line, written, phrase("a template cannot take in another file"), "mjml-include")
        )
    elif name not in _TAGS and (name.startswith("mj") or not in_text):
        message = phrase("MJML knows no <{tag}>{meant}", tag=name, meant=did_you_mean(name, _TAGS))
        hint = phrase("HTML belongs into <mj-text> or <mj-raw>")
        if name.startswith("mj"):
            hint = phrase("MJML would leave it out without a word")
        problems.append(problem_at(source, shown, line, written, message, "mjml-tag", hint=hint))
    if not token["rest"].rstrip().endswith("/") and name not in _VOID:
        open_tags.append((name, line))
    return problems


def _check_loose(text: str, open_tags: list[tuple[str, int]], source: str, shown: str, line: int) -> list[Problem]:
    if text == "<":
        message = phrase('a lone "<" or a tag that is not closed')
        return [problem_at(source, shown, line, "<", message, "mjml", hint=phrase("write &lt; for the sign itself"))]
    if not open_tags or open_tags[-1][0] not in _STRUCTURE:
        return []
    line += len(text) - len(text.lstrip()) and text[: len(text) - len(text.lstrip())].count("\n")
    words = text.strip().splitlines()[0]
    message = phrase("this text would not be shown: <{tag}> holds no text", tag=open_tags[-1][0])
    return [problem_at(source, shown, line, words, message, "mjml-text", hint=phrase("put it into <mj-text>"))]


def _hide(source: str, *, in_mjml: bool) -> tuple[str, list[str]]:
    """Replace every Jinja tag by what its place allows; give the source and the tags, by number."""
    tags: list[str] = []

    def word(found: re.Match[str]) -> str:
        tags.append(found[0])
        return f"jinja{len(tags) - 1}x"

    parts: list[str] = []
    open_tags: list[str] = []
    for token in _TOKEN.finditer(source):
        if not token["jinja"]:
            parts.append(_JINJA.sub(word, token[0]))
            _step(token, open_tags)
            continue
        hidden = word(token)
        innermost = open_tags[-1] if open_tags else ""
        if in_mjml and innermost in _STRUCTURE and innermost != "mjml":
            hidden = f"<mj-raw>{hidden}</mj-raw>"
        elif not in_mjml and innermost not in _RAW_TEXT and token["jinja"].startswith("{%"):
            hidden = f"<!--{hidden}-->"
        parts.append(hidden)
    return "".join(parts), tags


def _step(token: re.Match[str], open_tags: list[str]) -> None:
    name = (token["name"] or "").lower()
    if not name or name in _VOID:
        return
    if token["end"]:
        if name in open_tags:
            while open_tags.pop() != name:
                pass
    elif not token["rest"].rstrip().endswith("/"):
        open_tags.append(name)


def _show(source: str, tags: list[str]) -> str:
    return _HIDDEN.sub(lambda found: tags[int(found[1] or found[2] or found[3])], source)


@cache
def _inliner() -> CSSInliner:
    from css_inline import CSSInliner

    # Nothing is fetched: a message is made on this machine alone.
    return CSSInliner(keep_style_tags=True, keep_at_rules=True, load_remote_stylesheets=False)
