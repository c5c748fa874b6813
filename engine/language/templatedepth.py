"""How deep a template goes: what Jinja reads, Python need not be able to carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jinja2 import nodes

#: So many blocks may stand in one another: Python has room for twenty loops.
BLOCKS: Final = 15
#: And so many steps in one expression: from some hundred on what walks through it, or Python itself, gives up.
LEVELS: Final = 50


def too_deep(tree: nodes.Template) -> int | None:
    """Give the line of something that lies too deep, or None. It is looked for without going deep itself."""
    from jinja2 import nodes

    waiting: list[tuple[nodes.Node, int, int]] = [(each, 0, 0) for each in tree.body]
    while waiting:
        node, blocks, levels = waiting.pop()
        blocks += "body" in node.fields
        levels = levels + 1 if isinstance(node, nodes.Expr) else 0
        if blocks > BLOCKS or levels > LEVELS:
            return node.lineno
        waiting += [(child, blocks, levels) for child in node.iter_child_nodes()]
    return None
