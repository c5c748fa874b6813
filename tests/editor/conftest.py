from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from engine.console.schemas import written
from engine.starter.home import HomeAnswers, create_home
from tests.editor.language_server import LanguageServer

PREFIX = Path(sys.prefix)
PROGRAM = PREFIX / "editor" / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"


def _without(what: str) -> NoReturn:
    said = f"no {what}: `make test` installs it from the registry of npm"
    if os.environ.get("REGULARS_REQUIRE_EDITOR") == "1":
        pytest.fail(said)
    pytest.skip(said)


@pytest.fixture(scope="session")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """The language server, in a home as `init` makes it."""
    node = shutil.which("node", path=os.pathsep.join([os.environ.get("PATH", ""), str(PREFIX / "bin")]))
    if node is None:
        _without("node")
    if not PROGRAM.exists():
        _without("yaml-language-server")
    home = create_home(tmp_path_factory.mktemp("editor") / "home", answers=HomeAnswers())
    written(home, {}, "en")
    server = LanguageServer(node, PROGRAM, home)
    yield server
    server.close()
