"""Is a template's text sound: Jinja's grammar, the names it uses, its filters. Nothing is rendered here.

Jinja's own look-up of undeclared names ends at the first dot; here every dot is followed as far as ``placeholders``
knows the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from engine.language.phrases import listed, meant, phrase
from engine.language.pieces import pieces
from engine.language.placeholders import ANYTHING, FILTERS, NAMES, ListOf, Shape
from engine.language.problems import Problem
from engine.language.templatedepth import BLOCKS, LEVELS, too_deep
from engine.language.wording import did_you_mean, nearest

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

_SAME_LIST = frozenset({"sort", "list", "reverse", "unique", "selectattr", "rejectattr", "select", "reject"})
_ONE_OF_LIST = frozenset({"first", "last", "random"})
_ELSEWHERE = ("Include", "Extends", "Import", "FromImport")


@dataclass
class Uses:
    """What one text says: the names at the beginning of its placeholders, and its problems."""

    names: set[str] = field(default_factory=set)  #: used without asking first whether they are there
    problems: list[Problem] = field(default_factory=list)
    asked_for: set[str] = field(default_factory=set)  #: asked for with ``if`` before they are used


def check_text(text: str, shown: str) -> Uses:
    """Check the Jinja in one text. ``shown`` is the path as the owner knows it."""
    known = pieces(text)
    found = [] if known is None else [_of_piece(code) for code in known.codes]
    if known is None or any(one.problems for one in found):
        return _whole(text, shown)
    names: set[str] = set().union(*(one.names for one in found))
    return Uses(names.difference(*(one.asked_for for one in found)))


@lru_cache(maxsize=10_000)
def _of_piece(code: str) -> Uses:
    """Check one piece by itself; where it has problems, only the whole text tells their places."""
    return _whole(code, "")


def _whole(text: str, shown: str) -> Uses:
    from jinja2 import TemplateSyntaxError

    uses = Uses()
    try:
        tree = _environment().parse(text)
    except TemplateSyntaxError as error:
        uses.problems.append(_syntax_problem(error.message or "", text, shown, error.lineno))
        return uses
    except RecursionError:
        uses.problems.append(_depth_problem(text, shown, 1))
        return uses
    if (line := too_deep(tree)) is not None:
        uses.problems.append(_depth_problem(text, shown, line))
        return uses
    walk = _Walk(text, shown, uses)
    walk.learn(tree)
    walk.visit(tree)
    uses.names -= uses.asked_for
    return uses


def problem_at(  # noqa: PLR0917 (a place, and what is to be said of it)
    text: str, shown: str, line: int, what: str, message: str, code: str, **more: str
) -> Problem:
    """Give a problem at the first place of ``what`` in that line (1-based), the whole line where it is not in it."""
    lines = text.splitlines() or [""]
    line = min(max(line, 1), len(lines))
    excerpt = lines[line - 1]
    found = re.search(rf"(?<![\w.]){re.escape(what)}(?!\w)", excerpt) if what else None
    column = found.start() + 1 if found else len(excerpt) - len(excerpt.lstrip()) + 1
    return Problem(
        shown,
        line,
        column,
        message,
        code,
        "warning" if more.get("severity") == "warning" else "error",
        hint=more.get("hint", ""),
        width=len(what) if found else 1,
        excerpt=excerpt,
    )


@cache
def _environment() -> Environment:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment()
    for name in FILTERS:
        environment.filters.setdefault(name, str)
    return environment


_TAGS = ("if", "elif", "else", "endif", "for", "endfor", "set", "endset", "with", "endwith", "macro", "endmacro")


def _syntax_problem(message: str, text: str, shown: str, line: int) -> Problem:
    unknown = re.search(r"unknown tag '(\w+)'", message)
    still_open = re.search(r"needs to be closed is '(\w+)'", message)
    if unknown and unknown[1] not in _TAGS:
        said = phrase('there is no tag "{tag}"{meant}', tag=unknown[1], meant=did_you_mean(unknown[1], _TAGS))
    elif unknown and still_open:
        said = phrase('"{tag}" does not fit here: "{other}" is still open', tag=unknown[1], other=still_open[1])
    elif unknown:
        said = phrase('"{tag}" does not fit here', tag=unknown[1])
    elif still_open:
        said = phrase('"{tag}" is never closed: {{% end{tag} %}} is missing', tag=still_open[1])
    else:
        why = f"{message[:1].lower()}{message[1:].rstrip('.')}"
        said = phrase("the template cannot be read: {why}", why=why)
    hint = phrase(
        "placeholders look like {{{{ customer.first_name }}}}, conditions like {{% if ... %}} ... {{% endif %}}"
    )
    return problem_at(text, shown, line, unknown[1] if unknown else "", said, "template-syntax", hint=hint)


def _depth_problem(text: str, shown: str, line: int) -> Problem:
    said = phrase("the template is nested too deeply to be filled in")
    hint = phrase(
        "at most {blocks} if or for inside one another, each closed by its endif or endfor, and {levels} steps in one "
        "placeholder",
        blocks=BLOCKS,
        levels=LEVELS,
    )
    return problem_at(text, shown, line, "", said, "template-too-deep", hint=hint)


class _Walk:
    """One walk through a parsed template. Names that the template sets itself are known by what they were set to."""

    def __init__(self, text: str, shown: str, uses: Uses) -> None:
        self._text = text
        self._shown = shown
        self._uses = uses
        self._own: dict[str, Shape] = {}

    def learn(self, tree: nodes.Template) -> None:
        """Note the names that the template makes itself, and those it asks for."""
        from jinja2 import nodes

        for node in tree.find_all((nodes.Name, nodes.Macro, nodes.Block)):
            if (isinstance(node, nodes.Name) and node.ctx in {"store", "param"}) or isinstance(node, nodes.Macro):
                self._own.setdefault(node.name, ANYTHING)
        for asking in tree.find_all(nodes.If):
            self._uses.asked_for |= {name.name for name in _asked(asking.test)}
        for choosing in tree.find_all(nodes.CondExpr):
            self._uses.asked_for |= {name.name for name in _asked(choosing.test)}

    def visit(self, node: nodes.Node) -> None:
        """Check one node and all below it."""
        from jinja2 import nodes

        if type(node).__name__ in _ELSEWHERE:
            self._problem(node.lineno, "", phrase("a template cannot take in another file"), "template-include")
        elif isinstance(node, nodes.For):
            self._bind(node.target, self._element(self._shape(node.iter)))
        elif isinstance(node, nodes.Assign):
            self._bind(node.target, self._shape(node.node))
        elif isinstance(node, nodes.Expr):
            self._shape(node)
            return
        for child in node.iter_child_nodes():
            self.visit(child)

    def _bind(self, target: nodes.Node, shape: Shape) -> None:
        from jinja2 import nodes

        if isinstance(target, nodes.Name):
            self._own[target.name] = shape

    def _shape(self, node: nodes.Node) -> Shape:
        """Follow an expression to what it gives; note what does not exist on the way."""
        from jinja2 import nodes

        match node:
            case nodes.Name(ctx="load"):
                return self._name(node)
            case nodes.Getattr():
                return self._attribute(node, self._shape(node.node), node.attr)
            case nodes.Getitem(arg=nodes.Const(value=str() as key)):
                return self._attribute(node, self._shape(node.node), key)
            case nodes.Getitem():
                self._shape(node.arg)
                return self._element(self._shape(node.node))
            case nodes.Filter():
                return self._filter(node)
            case nodes.Test():
                if node.name not in _environment().tests:
                    near = did_you_mean(node.name, _environment().tests)
                    said = phrase('there is no test "{name}"{meant}', name=node.name, meant=near)
                    self._problem(node.lineno, node.name, said, "unknown-test")
        for child in node.iter_child_nodes():
            self._shape(child)
        return ANYTHING

    def _name(self, node: nodes.Name) -> Shape:
        if node.name in self._own or node.name in _environment().globals or node.name in {"loop", "caller"}:
            return self._own.get(node.name, ANYTHING)
        if node.name not in NAMES:
            near = did_you_mean(node.name, NAMES)
            message = phrase('there is no "{name}"{meant}', name=node.name, meant=near)
            hint = phrase("a template may use: {names}", names=listed(NAMES))
            self._problem(node.lineno, node.name, message, "unknown-placeholder", hint)
            return ANYTHING
        self._uses.names.add(node.name)
        return NAMES[node.name]

    def _attribute(self, node: nodes.Node, of: Shape, name: str) -> Shape:
        if isinstance(of, Mapping):
            if name in of:
                return of[name]
            whole = _dotted(node)
            owner = whole.rpartition(".")[0]
            close = nearest(name, of)
            instead = meant(f"{owner}.{close}" if close else None)
            hint = phrase("{owner} has: {names}", owner=owner, names=listed(of))
            message = phrase('there is no "{name}"{meant}', name=whole, meant=instead)
            self._problem(node.lineno, whole, message, "unknown-placeholder", hint)
        elif isinstance(of, ListOf) and isinstance(of.of, Mapping) and name in of.of:
            whole = _dotted(node)
            owner = whole.rpartition(".")[0]
            example = f"{{% for one in {owner} %}} {{{{ one.{name} }}}} {{% endfor %}}"
            message = phrase('"{owner}" is a list: walk through it', owner=owner)
            self._problem(node.lineno, whole, message, "list-placeholder", example)
        return ANYTHING

    def _filter(self, node: nodes.Filter) -> Shape:
        from jinja2 import nodes

        of = self._shape(node.node) if node.node is not None else ANYTHING
        for argument in (*node.args, *(pair.value for pair in node.kwargs)):
            self._shape(argument)
        if node.name not in _environment().filters:
            near = did_you_mean(node.name, _environment().filters)
            said = phrase('there is no filter "{name}"{meant}', name=node.name, meant=near)
            self._problem(node.lineno, node.name, said, "unknown-filter")
        if node.name in _ONE_OF_LIST:
            return self._element(of)
        if node.name in _SAME_LIST:
            return of
        if node.name == "map":
            for pair in node.kwargs:
                if pair.key == "attribute" and isinstance(pair.value, nodes.Const):
                    return ListOf(self._path(node, self._element(of), str(pair.value.value)))
        return ANYTHING

    def _path(self, node: nodes.Node, of: Shape, path: str) -> Shape:
        for name in path.split("."):
            if isinstance(of, Mapping) and name not in of:
                message = phrase('there is no "{name}" here{meant}', name=name, meant=did_you_mean(name, of))
                hint = phrase("there is: {names}", names=listed(of))
                self._problem(node.lineno, path, message, "unknown-placeholder", hint)
            of = of.get(name, ANYTHING) if isinstance(of, Mapping) else ANYTHING
        return of

    def _element(self, of: Shape) -> Shape:
        return of.of if isinstance(of, ListOf) else ANYTHING

    def _problem(self, line: int, what: str, message: str, code: str, hint: str = "") -> None:
        self._uses.problems.append(problem_at(self._text, self._shown, line, what, message, code, hint=hint))


def _asked(test: nodes.Node) -> Iterator[nodes.Name]:
    """Give the names that a condition asks for as such: ``if coupon``, ``if coupon is defined and ...``."""
    from jinja2 import nodes

    if isinstance(test, nodes.Name):
        yield test
    elif isinstance(test, nodes.Test | nodes.And | nodes.Or | nodes.Not):
        for child in test.iter_child_nodes():
            yield from _asked(child)


def _dotted(node: nodes.Node) -> str:
    """Write an expression as the owner wrote it, as far as it is names and dots."""
    from jinja2 import nodes

    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            return f"{_dotted(node.node)}.{node.attr}"
        case nodes.Getitem(arg=nodes.Const(value=str() as key)):
            return f"{_dotted(node.node)}.{key}"
        case nodes.Getitem():
            return _dotted(node.node)
    return "it"
