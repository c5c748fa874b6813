"""Which of the values a template uses: only these are given their forms for its messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from engine.language.placeholders import NAMES, Shape

if TYPE_CHECKING:
    from jinja2 import Environment


def shapes_used(environment: Environment, texts: Iterable[str]) -> Mapping[str, Shape]:
    """Give the names that the texts use, with their shapes; of one that only its fields are asked of, just those.

    All names where a text cannot be read: what is wrong with it is told when it is filled in.
    """
    from jinja2 import TemplateError, nodes

    whole: set[str] = set()
    fields: dict[str, set[str]] = {}
    for text in texts:
        try:
            tree = environment.parse(text)
        except TemplateError:
            return NAMES
        asked = [node for node in tree.find_all(nodes.Getattr) if isinstance(node.node, nodes.Name)]
        for node in asked:
            if isinstance(node.node, nodes.Name):
                fields.setdefault(node.node.name, set()).add(node.attr)
        counted = {id(node.node) for node in asked}
        whole |= {node.name for node in tree.find_all(nodes.Name) if id(node) not in counted}
    return {
        name: {field: below for field, below in shape.items() if field in fields[name]}
        if name not in whole and isinstance(shape, Mapping)
        else shape
        for name, shape in NAMES.items()
        if name in whole or name in fields
    }
