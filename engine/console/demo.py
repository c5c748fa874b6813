"""Everything once, with an invented café: each step by the command line that an owner would type."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Final

from sqlalchemy import select

import engine
from engine.console.exits import Refusal
from engine.console.page import Page, visible
from engine.console.session import Clock, opened
from engine.database.tables import contents, coupons, customers, dispatches, rules
from engine.dispatch.channels import OUTBOX
from engine.dispatch.links import message_key
from engine.language.codes import shown
from engine.starter.cafe import AS_OF
from engine.starter.home import HARMLESS, starter_files

#: Marks a folder that ``demo`` made, and may empty.
MARK: Final = ".regulars-demo"
#: When the coupon is taken, on the home's clock: two days after it was issued.
LUNCH: Final = "2026-05-06T12:30"
#: Whose mail is shown and whose coupon is taken.
RULE: Final = "win-back"
STAFF: Final = "Dana"

Command = Callable[..., int]


@dataclass(frozen=True)
class Demo:
    """Shows the demo. ``command`` runs one command line and gives its exit code; ``cache`` keeps the imported home."""

    folder: Path
    command: Command
    say: Callable[[str], object]
    environ: Mapping[str, str]
    clock: Clock
    cache: Path | None = None

    def show(self) -> int:
        """Make the home anew and show every step; give the exit code of the first one that fails, else 0."""
        self._clear()
        steps: list[Callable[[], int]] = [
            self._made,
            lambda: self._do("Every file is checked.", "validate"),
            lambda: self._do("What would a run do on the morning after the last order?", "run", "--dry-run", *AT),
            lambda: self._do("New rules wait for the owner once.", "approve", "--all", "--by", STAFF),
            lambda: self._do("Then they go out, here into files.", "run", *AT),
            lambda: self._do("Who got what, and why others did not.", "log", *MAILS, "--limit", "12"),
            self._mail_and_coupon,
        ]
        for step in steps:
            code = step()
            if code:
                return code
        self._tell(f"\nLook round in {self.folder}: rules/, templates/, {OUTBOX}/ with every message.")
        return 0

    def _made(self) -> int:
        self._tell("A home with an invented café: 5,000 guests, two years of orders, 60 % of them by walk-ins.")
        self._announce("init", str(self.folder), "--demo")
        kept = self._kept()
        if kept is not None and kept.is_dir():
            shutil.copytree(kept, self.folder, dirs_exist_ok=True)
            self.say(f"{self.folder} is as it was imported the last time.")
        else:
            if code := self.command("init", str(self.folder), "--demo"):
                return code
            if kept is not None:
                _keep(self.folder, kept)
        (self.folder / MARK).write_text("`regulars demo` made this folder and makes it anew each time.\n")
        return 0

    def _do(self, words: str, *command: str) -> int:
        self._tell(f"\n{words}")
        self._announce("--home", str(self.folder), *command)
        return self.command("--home", str(self.folder), *command)

    def _mail_and_coupon(self) -> int:
        sent = self._sent()
        if sent is None:
            raise Refusal(f"the demo sent no email of {RULE} with a coupon; was its rule changed?")
        self._tell(f"\nThe email that {visible(sent.external_id)} {visible(sent.name or '')} got, its text part:")
        mail = message_from_bytes((self.folder / OUTBOX / sent.file).read_bytes(), policy=default)
        body = mail.get_body(("plain",))
        page = Page()
        page.line(f"{self.folder / OUTBOX / sent.file}", "faint")
        for name in ("From", "To", "Subject"):
            page.line(f"{name}: {visible(str(mail[name]))}", indent=2)
        page.line()
        for line in (body.get_content() if body is not None else "").splitlines():
            page.line(visible(line), indent=2)
        self.say(page.text.rstrip("\n"))
        code = shown(sent.code)
        return self._do("The guest comes and shows the code.", "coupon", "redeem", code, *LATER, "--by", STAFF) or (
            self._do("A coupon is good once.", "coupon", "show", code, *LATER)
        )

    def _sent(self) -> _Sent | None:
        """Find the first email of the rule that went out with a code."""
        mail, step = dispatches.alias("mail"), dispatches.alias("step")
        with opened(self.folder, self.environ, self.clock) as session, session.look() as conn:
            row = conn.execute(
                select(mail.c.id, customers.c.external_id, customers.c.name, coupons.c.code, contents.c.template)
                .join(rules, rules.c.id == mail.c.rule_id)
                .join(customers, customers.c.id == mail.c.customer_id)
                .join(contents, contents.c.id == mail.c.content_id)
                .join(step, step.c.match_id == mail.c.match_id)
                .join(coupons, coupons.c.dispatch_id == step.c.id)
                .where(rules.c.rule == RULE, mail.c.channel == "email", mail.c.state == "sent")
                .where(coupons.c.code.is_not(None))
                .order_by(mail.c.id)
                .limit(1)
            ).one_or_none()
            if row is None:
                return None
            file = f"{message_key(session.home.key, row.id)}~{row.template}.eml"
            return _Sent(row.external_id, row.name, row.code, file)

    def _kept(self) -> Path | None:
        """Where the imported home is kept for the next time: by what it is made from."""
        root = self.cache
        if root is None:
            from platformdirs import user_cache_dir

            root = Path(user_cache_dir("regulars", appauthor=False))
        return root / f"demo-{made_from()}"

    def _clear(self) -> None:
        """Empty the folder that an earlier demo made; any other that holds something is left alone."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise Refusal(f"{self.folder} is a file; name a folder: regulars demo DIR")
        found = [each for each in self.folder.iterdir() if each.name not in HARMLESS]
        if found and not (self.folder / MARK).exists():
            raise Refusal(f"{self.folder} holds something that no demo made; name another folder: regulars demo DIR")
        for each in found:
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()

    def _tell(self, words: str) -> None:
        self.say(words)

    def _announce(self, *words: str) -> None:
        page = Page()
        page.line(f"$ regulars {shlex.join(words)}", "strong")
        self.say(page.text.rstrip("\n"))


MAILS: Final = ("--rule", RULE, "--channel", "email")
AT: Final = ("--as-of", AS_OF)
LATER: Final = ("--as-of", LUNCH)


@dataclass(frozen=True, slots=True)
class _Sent:
    external_id: str
    name: str | None
    code: str
    file: str


def made_from() -> str:
    """Give a fingerprint of the program and the starter files: another one, and the home is imported anew."""
    digest = hashlib.sha256()
    own = Path(engine.__file__).parent
    shipped = [file for name in ("rules", "templates", "config") for file in (starter_files() / name).rglob("*")]
    for file in sorted([*own.rglob("*.py"), *own.parent.glob("connectors/*.py"), *shipped]):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _keep(home: Path, kept: Path) -> None:
    """Keep a copy of a home that was just imported, and forget older ones; a full disk is no reason to stop."""
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob("demo-*"):
            shutil.rmtree(old, ignore_errors=True)
        half = kept.with_name(f"demo-half-{kept.name}")
        shutil.copytree(home, half)
        half.rename(kept)
