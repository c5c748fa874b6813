"""Messages as files in a folder: what a new home does, so nothing leaves the machine by accident.

One file a message, named by the message's key, so that the same dispatch never makes two. A file appears whole or not
at all: it is written and synced under another name, and the fence stands just before the rename.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from connectors.base import Handoff, Handoffs, Message, Outcome, nothing
from connectors.disk import sync, sync_folder

#: So many are put in their place with one look at the disk.
MOST: Final = 16
WRITTEN: Final = "written"
_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class FileConnector:
    """Writes ``.eml`` (email), ``.txt`` (SMS) and ``.json`` (webhook) files into ``folder``, for its owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.most = MOST

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        """Write one message. A file of the same key that is already there is the proof that it went out."""
        (outcome,) = self.send_group([message], lambda places: places if handoff() else ())
        return outcome

    def send_group(
        self,
        messages: Sequence[Message],
        handoff: Handoffs,
        upcoming: Sequence[Message] = (),  # noqa: ARG002 (a folder needs no warning)
        meanwhile: Callable[[], None] = nothing,  # noqa: ARG002 (and it answers at once)
    ) -> list[Outcome]:
        """Write several messages: all drafts are on the disk before the fence is asked, once for all of them."""
        targets = [self._folder / _name(message) for message in messages]
        outcomes: dict[int, Outcome] = {}
        for place, (message, target) in enumerate(zip(messages, targets, strict=True)):
            try:
                _write_draft(_draft_of(target), _content(message))
            except OSError as error:
                outcomes[place] = _failed(error)
        ready = [place for place in range(len(messages)) if place not in outcomes]
        may = handoff(ready) if ready else ()
        for place in ready:
            outcomes[place] = (
                _put(targets[place]) if place in may else Outcome("not_now", "fence", counts_attempt=False)
            )
        for place, target in enumerate(targets):
            if outcomes[place].code != WRITTEN:
                _remove(_draft_of(target))
        return self._synced([outcomes[place] for place in range(len(messages))])

    def _synced(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Wait for the disk to have the names of what was written; where that fails, nobody knows."""
        if any(each.code == WRITTEN for each in outcomes):
            try:
                sync_folder(self._folder)
            except OSError:
                return [
                    Outcome("unknown", "not synced", provider_id=each.provider_id, channel="failure")
                    if each.code == WRITTEN
                    else each
                    for each in outcomes
                ]
        return outcomes

    def close(self) -> None:
        """Nothing is kept open."""


def erase(folder: Path, keys: Iterable[str]) -> int:
    """Delete the files of these messages, drafts of a crash included; give how many. ``OSError`` when one stays."""
    gone = {_safe(key) for key in keys}
    count = 0
    if not gone or not folder.is_dir():
        return count
    for file in sorted(folder.iterdir()):
        stem = file.name.removeprefix(".").removesuffix(".draft").rpartition(".")[0]
        if stem.partition("~")[0] in gone:
            file.unlink(missing_ok=True)
            count += 1
    if count:
        sync_folder(folder)
    return count


def _safe(text: str) -> str:
    return _UNFIT_FOR_NAMES.sub("_", text)


def _name(message: Message) -> str:
    """``<key>~<template>.eml``: says what it is and not for whom."""
    ending = {"email": "eml", "sms": "txt", "webhook": "json"}[message.channel]
    template = f"~{_safe(message.template)}" if message.template else ""
    return f"{_safe(message.key)}{template}.{ending}"


def _content(message: Message) -> bytes:
    if isinstance(message.body, bytes):
        return message.body
    return f"From: {message.sender}\nTo: {message.recipient}\n\n{message.body}\n".encode()


def _write_draft(draft: Path, content: bytes) -> None:
    if not draft.parent.is_dir():
        draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(draft.parent.parent)  # else a power cut takes the new folder with all that was synced in it
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        sync(file.fileno())


def _draft_of(target: Path) -> Path:
    return target.parent / f".{target.name}.draft"


def _put(target: Path) -> Outcome:
    """Let a draft become the message."""
    if target.exists():
        return Outcome("sent", "already written", provider_id=target.name)
    try:
        _draft_of(target).replace(target)
    except OSError as error:
        return _failed(error)
    return Outcome("sent", WRITTEN, provider_id=target.name)


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


def _failed(error: OSError) -> Outcome:
    return Outcome("not_now", (error.strerror or "cannot write").lower(), channel="failure", counts_attempt=False)
