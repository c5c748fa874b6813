"""Secrets, which the config only points to: ``env:NAME`` or ``file:PATH``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LONGEST: Final = 4096


class SecretError(Exception):
    """A secret is not where the config says; the text names the place and the cure, never the secret."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is. It is looked up only when it is used, and never shown by ``repr``."""

    reference: str
    root: Path = field(repr=False, compare=False)
    environ: Mapping[str, str] = field(repr=False, compare=False)

    def reveal(self) -> str:
        """Give the secret.

        Raises:
            SecretError: the variable is not set, or the file cannot be read or is empty.
        """
        kind, _, where = self.reference.partition(":")
        if kind == "env":
            value = self.environ.get(where, "")
            if not value:
                raise SecretError(
                    f"the environment variable {where} is not set; config/regulars.yaml expects a secret in it"
                )
            return value
        return self._read(self.root / where)

    def _read(self, file: Path) -> str:
        try:
            with file.open("rb") as stream:
                value = stream.read(_LONGEST + 1).decode("utf-8").strip()
        except FileNotFoundError:
            raise SecretError(f"the file {file} does not exist; config/regulars.yaml expects a secret in it") from None
        except (OSError, UnicodeDecodeError):
            raise SecretError(f"the file {file}, which should hold a secret, cannot be read") from None
        if not value or len(value) > _LONGEST:
            raise SecretError(f"the file {file} should hold a secret and nothing else")
        return value
