"""Templates filled in: sandboxed Jinja2, strict about names, HTML escaped; a text is compiled once per version.

What goes into a message is the template's text and plain values. A value is never read as a template, and an error
never repeats one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from engine.dispatch import qr
from engine.dispatch.plaintext import text_of
from engine.dispatch.present import STYLE, Dresser, Record, Style, filters
from engine.dispatch.seen import UnsteadyError, as_seen, flat, text_template
from engine.dispatch.uses import shapes_used
from engine.language.markup import MarkupError, inline_css, mjml_to_html
from engine.language.placeholders import Shape
from engine.language.sms import clean
from engine.language.templates import choose, file_name, languages

if TYPE_CHECKING:
    from jinja2 import Environment, Template

#: How a text is read: as a page, as a text, or as what the reader of a page sees.
Kind = Literal["html", "text", "seen"]

_LONGEST: Final = 1_000_000  # letters of one rendered text
_LONGEST_SUBJECT: Final = 200
_LONGEST_REPEAT: Final = 10_000
#: The code of a template, and the dotted names in it.
_CODE: Final = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_PATH: Final = re.compile(r"(?<![\w.'\"])[^\W\d]\w*(?:\.\w+)*")
_COMPILED: Final = 500  # texts kept compiled: far more than a home's templates


class RenderError(Exception):
    """A message cannot be made from this template for this guest. Names the file and the placeholder, no value."""


@dataclass(frozen=True, slots=True)
class RenderedEmail:
    """An email's parts. ``html`` is None where the template has a text only; ``images`` are PNG bytes by content id.

    ``seen`` is what the reader of ``html`` sees; None where that is not known yet. ``pieces`` put together are
    ``html``: the template's own, the same in each of its messages, and the values.
    """

    subject: str
    text: str
    html: str | None
    images: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    language: str = ""  #: of the template's file
    seen: str | None = None
    pieces: Sequence[str] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Source:
    """One of a template's files; ``text`` is what is compiled of it."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """The texts that a version has for a guest's languages, and what they use."""

    language: str
    page: _Source | None
    text: _Source | None
    subject: _Source
    shapes: Mapping[str, Shape]  #: of the values that they use


class Renderer:
    """Renders messages, and keeps what it has compiled. One per worker: it is not made for threads."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[Kind, str], Template | None] = {}
        self._environments: dict[Kind, Environment] = {}
        self._plans: dict[tuple[int, tuple[str, ...], str | None], tuple[Mapping[str, str], _Plan]] = {}

    def email(
        self,
        files: Mapping[str, str],
        values: Mapping[str, Any],
        wanted: Iterable[str | None],
        *,
        subject: str | None = None,
    ) -> RenderedEmail:
        """Render an email from a template's ``files``.

        ``values`` are those of ``values.read_values``; ``wanted`` are the languages of guest, store and home, best
        first. ``subject`` is a rule's own, and is a template too. ``RenderError`` where it cannot be made.
        """
        plan = self._plan(files, (values["business"]["language"], *_chain(tuple(wanted))), subject)
        dresser = Dresser(style_of(plan.language, values), {})
        dressed = {**self._environment("text").globals, **dresser.dress(values, plan.shapes)}
        html = seen = None
        pieces: Sequence[str] = ()
        if plan.page is not None:
            pieces = self._fill("html", plan.page, dressed, values)
            html = "".join(pieces)
            seen = self._seen(plan.page, html, dressed)
        text = seen or "" if plan.text is None else "".join(self._fill("text", plan.text, dressed, values))
        title = "".join(self._fill("text", plan.subject, dressed, values))
        title = " ".join(clean(title).split())[:_LONGEST_SUBJECT]
        text = clean(text).strip()
        if not title or not text:
            raise RenderError(f"the {'text' if title else 'subject'} is empty once it is filled in")
        images = {name: qr.png(code) for name, code in dresser.pictures.items()}
        return RenderedEmail(title, text, html, images, plan.language, seen, pieces)

    def _plan(self, files: Mapping[str, str], chain: tuple[str, ...], subject: str | None) -> _Plan:
        """Choose the texts of a version for a guest of these languages, behind the home's. Chosen once."""
        key = (id(files), chain, subject)
        known = self._plans.get(key)
        if known is None or known[0] is not files:
            if len(self._plans) >= _COMPILED:
                self._plans.clear()
            known = self._plans[key] = (files, self._planned(files, chain[0], chain[1:], subject))
        return known[1]

    def _planned(self, files: Mapping[str, str], home: str, chain: tuple[str, ...], subject: str | None) -> _Plan:
        body = choose(files, "email", ("mjml", "html", "txt"), chain)
        if body is None:
            raise RenderError("the template has no email for this guest's language, and none without a language")
        language = _language_of(body, home)
        chain = languages([language, *chain])
        html_file = choose([body], "email", ("mjml", "html"), chain)
        text_file = choose([file for file in files if _same_language(file, body)], "email", ("txt",), chain)
        line = choose(files, "subject", ("txt",), chain)
        if subject is None and line is None:
            raise RenderError("the template has no subject.txt, and the rule gives no subject")
        page = None if html_file is None else _Source(html_file, _page(files[html_file], html_file, language))
        text = None if text_file is None else _Source(text_file, files[text_file])
        title = _Source("subject", subject) if subject is not None else _Source(line or "", files[line or ""])
        read = [each.text for each in (page, text, title) if each is not None]
        return _Plan(language, page, text, title, shapes_used(self._environment("text"), read))

    def _seen(self, page: _Source, html: str, dressed: dict[str, Any]) -> str:
        """Give what the reader of a page sees: the template of that filled in, where there is one."""
        template = self._template("seen", page.text)
        if template is not None:
            with contextlib.suppress(UnsteadyError):
                return as_seen("".join(_rendered(template, dressed)))
        return text_of(html)

    def sms(self, files: Mapping[str, str], values: Mapping[str, Any], wanted: Iterable[str | None]) -> str:
        """Render an SMS: one text without control signs. ``RenderError`` where it cannot be made."""
        file = choose(files, "sms", ("txt",), languages(wanted))
        if file is None:
            raise RenderError("the template has no sms for this guest's language, and none without a language")
        dresser = Dresser(style_of(_language_of(file, values["business"]["language"]), values), {})
        dressed = {**self._environment("text").globals, **dresser.dress(values)}
        text = "".join(self._fill("text", _Source(file, files[file]), dressed, values))
        text = re.sub(r"[ \t]+", " ", clean(text)).strip()
        if not text:
            raise RenderError("the sms is empty once it is filled in")
        return text

    def _fill(
        self, kind: Literal["html", "text"], source: _Source, dressed: dict[str, Any], values: Mapping[str, Any]
    ) -> Sequence[str]:
        """Give what the text is when its values are put in, in pieces."""
        from jinja2 import TemplateError, UndefinedError

        file = source.file
        try:
            template = self._template(kind, source.text)
            assert template is not None, "only of what is seen there may be none"
            pieces = _rendered(template, dressed)
        except UndefinedError as error:
            every = Dresser(dressed[STYLE], {}).dress(values)
            raise RenderError(f"{file}: {_missing(error.message or '', source.text, every)}") from None
        except TemplateError:
            raise RenderError(f"{file}: the template is broken; `regulars validate` shows where") from None
        except (
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
            MemoryError,
            RecursionError,
        ) as error:
            raise RenderError(f"{file}: a placeholder cannot be filled in ({type(error).__name__})") from None
        if sum(map(len, pieces)) > _LONGEST:
            raise RenderError(f"{file}: the message is longer than {_LONGEST:,} letters")
        return pieces

    def _template(self, kind: Kind, source: str) -> Template | None:
        key = (kind, source)
        if key not in self._compiled:
            if len(self._compiled) >= _COMPILED:
                self._compiled.clear()
            environment = self._environment(kind)
            made = text_template(environment, source) if kind == "seen" else environment.from_string(source)
            self._compiled[key] = made
        return self._compiled[key]

    def _environment(self, kind: Kind) -> Environment:
        if kind not in self._environments:
            self._environments[kind] = sandbox(escape=kind != "text", finalize=flat if kind == "seen" else None)
        return self._environments[kind]


def _rendered(template: Template, dressed: dict[str, Any]) -> list[str]:
    """Fill a template in. What ``Template.render`` does, but for a copy of all names that may be used."""
    return list(template.root_render_func(template.new_context(dressed, shared=True)))


@lru_cache(maxsize=256)  # guests of one home share a few
def _chain(wanted: tuple[str | None, ...]) -> tuple[str, ...]:
    return languages(wanted)


def sandbox(*, escape: bool, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """Give a Jinja environment that reads no file, changes no value and fails on names that it does not know.

    ``finalize`` is what a value goes through before it is written.
    """
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.filters import do_urlencode
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            # Most of what templates ask for: plain values by names that we gave, where there is nothing to forbid.
            if type(obj) is Record and attribute in obj.__dict__:
                return obj.__dict__[attribute]
            return super().getattr(obj, attribute)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            # Jinja's own sandbox lets {{ "a" * 10**9 }} eat the machine's memory.
            numbers = [side for side in (left, right) if isinstance(side, (int, float))]
            texts = len(numbers) < len((left, right))
            if operator == "**" or (texts and any(abs(side) > _LONGEST_REPEAT for side in numbers)):
                raise SecurityError("too large")
            return super().call_binop(context, operator, left, right)

    environment = Sandbox(
        autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=finalize
    )
    environment.filters.update(filters(), urlencode=_in_links(do_urlencode))
    return environment


def _in_links(quote: Callable[[Any], str]) -> Callable[[Any], str]:
    """Give Jinja's own filter, which writes a text once: a store's address is in each message to its guests."""
    once = lru_cache(maxsize=256)(quote)
    return lambda value: once(value) if isinstance(value, str) else quote(value)


def _missing(message: str, source: str, dressed: Mapping[str, Any]) -> str:
    """Say which placeholder has nothing behind it. Only words that stand in the template are repeated."""
    found = re.search(r"has no (?:attribute|element) '?(\w+)'?", message) or re.search(r"'(\w+)' is undefined", message)
    used = [path for code in _CODE.findall(source) for path in _PATH.findall(code)] if found else []
    lacking = [path for path in used if _lacks(dressed, path) == found[1]] if found else []
    # What a loop names is not known here: then the first of that name that does not lead anywhere else.
    inner = [path for path in used if path.partition(".")[0] not in dressed and found and found[1] in path.split(".")]
    whole = next(iter(lacking or inner), None)
    if whole is None:
        return "a placeholder has nothing behind it in this message"
    return f'this message has no "{whole}"; ask first: {{% if {whole.rpartition(".")[0] or whole} %}}'


def _lacks(values: Mapping[str, Any], path: str) -> str | None:
    """Give the first word of a dotted path behind which there is nothing; None where all of it is there."""
    here: Any = values
    for word in path.split("."):
        if isinstance(here, Mapping):
            if word not in here:
                return word
            here = here[word]
        elif hasattr(here, word):
            here = getattr(here, word)
        else:
            return word
    return None


def style_of(language: str, values: Mapping[str, Any]) -> Style:
    """Give how the values of one message are written in a language."""
    business = values["business"]
    country = (values.get("store") or {}).get("country") or business["country"]
    return Style(language, country, ZoneInfo(values["zone"]), business["currency"])


def _language_of(file: str, home: str) -> str:
    """Give the language that a file is in: a plain one is in the home's."""
    name = file_name(file)
    return (name.language if name else "") or home


def _same_language(file: str, other: str) -> bool:
    one, two = file_name(file), file_name(other)
    return one is not None and two is not None and one.language.casefold() == two.language.casefold()


def _page(source: str, file: str, language: str) -> str:
    """Give the HTML of a version, its styles inlined. The Jinja in it is untouched."""
    try:
        return _compile_page(source, file.endswith(".mjml"), language)
    except MarkupError:
        raise RenderError(f"{file}: MJML cannot read it; `regulars validate` shows where") from None


@lru_cache(maxsize=_COMPILED)
def _compile_page(source: str, is_mjml: bool, language: str) -> str:
    return inline_css(mjml_to_html(source, language) if is_mjml else source)
