"""Speaks to the language server that editors run, over its standard streams, as an editor does."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

#: What an editor with the extension asks of it; the store of schemas on the internet stays out.
SETTINGS = {
    "validate": True,
    "hover": True,
    "completion": True,
    "schemaStore": {"enable": False, "url": ""},
    "format": {"enable": False},
}
PATIENCE = 60  # seconds: a server that says nothing for so long is broken


class LanguageServer:
    """One server with one home open as its folder."""

    def __init__(self, node: str, program: Path, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._answers: dict[int, Any] = {}
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._process = subprocess.Popen(
            [node, str(program), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        threading.Thread(target=self._listen, daemon=True).start()
        root = folder.as_uri()
        self.ask(
            "initialize",
            processId=None,
            rootUri=root,
            workspaceFolders=[{"uri": root, "name": "home"}],
            capabilities={
                "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
                "textDocument": {
                    "completion": {"completionItem": {"documentationFormat": ["markdown"], "snippetSupport": True}},
                    "hover": {"contentFormat": ["markdown"]},
                    "publishDiagnostics": {},
                },
            },
        )
        self.tell("initialized")
        self.tell("workspace/didChangeConfiguration", settings={"yaml": SETTINGS})

    def close(self) -> None:
        """End it as an editor does when it is closed."""
        self.ask("shutdown")
        self.tell("exit")
        self._process.communicate(timeout=PATIENCE)

    def open(self, name: str, text: str | None = None) -> list[dict[str, Any]]:
        """Open a file of the home, or what would be one; gives what is marked in it."""
        uri = (self.folder / name).as_uri()
        text = (self.folder / name).read_text(encoding="utf-8") if text is None else text
        self._diagnostics.pop(uri, None)
        self.tell("textDocument/didOpen", textDocument={"uri": uri, "languageId": "yaml", "version": 1, "text": text})
        while uri not in self._diagnostics:
            self._take()
        return self._diagnostics[uri]

    def offers(self, name: str, line: int, column: int) -> dict[str, str]:
        """Give what is offered at a place (counted from 0): each word and what is said of it."""
        answer = self._at("textDocument/completion", name, line, column)
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return {item["label"]: _text(item.get("documentation")) for item in items}

    def explains(self, name: str, line: int, column: int) -> str:
        """Give what is shown when the mouse rests on a place."""
        answer = self._at("textDocument/hover", name, line, column)
        return _text(answer and answer["contents"])

    def _at(self, method: str, name: str, line: int, column: int) -> Any:
        uri = (self.folder / name).as_uri()
        return self.ask(method, textDocument={"uri": uri}, position={"line": line, "character": column})

    def ask(self, method: str, **params: Any) -> Any:
        """Ask, and wait for the answer."""
        number = next(self._numbers)
        self._send(id=number, method=method, params=params)
        while number not in self._answers:
            self._take()
        return self._answers.pop(number)

    def tell(self, method: str, **params: Any) -> None:
        """Tell something that has no answer."""
        self._send(method=method, params=params)

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _take(self) -> None:
        message = self._inbox.get(timeout=PATIENCE)
        assert message is not None, "the language server has ended"
        if "method" not in message:
            assert "error" not in message, message["error"]
            self._answers[message["id"]] = message.get("result")
        elif message["method"] == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif message["method"] == "workspace/configuration":
            asked = [{"yaml": SETTINGS}.get(item.get("section"), {}) for item in message["params"]["items"]]
            self._send(id=message["id"], result=asked)
        elif "id" in message:  # it registers for something: granted
            self._send(id=message["id"], result=None)

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                header = stream.readline()
            self._inbox.put(json.loads(stream.read(length)))
        self._inbox.put(None)


def _text(contents: Any) -> str:
    if isinstance(contents, dict):
        return str(contents.get("value", ""))
    if isinstance(contents, list):
        return "\n".join(_text(each) for each in contents)
    return str(contents or "")
