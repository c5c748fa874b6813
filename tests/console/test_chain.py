"""docs/chain.md, as it says: the roles and what each may do, a dump that is brought back, and the questions of who watches."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import PostgresServer, find_programs

from .conftest import AT, NOW, Regulars, lines, make_home, write_files

PAGE = (Path(__file__).parents[2] / "docs" / "chain.md").read_text(encoding="utf-8")
ROLES, GRANTS, *QUESTIONS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
OWNER, WORKER, READER = (f"regulars_{each}" for each in ("owner", "worker", "reader"))


@pytest.fixture
def chain(postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    for statement in filter(str.strip, ROLES.split(";\n")):
        # Roles are the server's, which other tests use at the same time.
        with contextlib.suppress(
            psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation, psycopg.errors.InternalError_
        ):
            postgres_server.run(statement)
    name = postgres_server.create()
    postgres_server.run(f'ALTER DATABASE "{name}" OWNER TO {OWNER}')
    root = make_home(tmp_path / "home")
    config = root / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8").replace("sqlite:///regulars.db ", "env:DATABASE_URL ")
    config.write_text(text, encoding="utf-8")
    chain = Chain(postgres_server, name, root, monkeypatch)
    chain.grant()
    yield chain
    postgres_server.drop(chain.name)


class Chain:
    """One home, and a database of the roles."""

    def __init__(self, server: PostgresServer, name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.server, self.name, self.root, self.patch = server, name, root, patch

    def grant(self) -> None:
        self.say(OWNER, GRANTS.replace("DATABASE regulars ", f'DATABASE "{self.name}" '))

    def say(self, role: str, statements: str) -> None:
        with psycopg.connect(self.server.url(self.name, role), autocommit=True) as conn:
            conn.execute(statements)

    def called(self, regulars: Regulars, role: str, *words: object):
        self.patch.setenv("DATABASE_URL", self.server.url(self.name, role))
        return regulars("--home", self.root, *words)

    def program(self, role: str, name: str, *words: str) -> None:
        url = self.server.url("", OWNER)
        host = url.partition("host=")[2]
        said = subprocess.run(
            [find_programs() / name, "--host", host, "--username", role, *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr


def test_each_role_does_what_the_page_says_and_a_dump_that_is_brought_back_sends_nothing_again(
    chain: Chain, regulars: Regulars, tmp_path: Path
):
    def ends(role: str, *words: object) -> int:
        return chain.called(regulars, role, *words).exit_code

    refused = chain.called(regulars, WORKER, "log")
    assert refused.exit_code == 75
    assert 'may not make them. Let the role that owns them, "regulars_owner", call this' in refused.stderr
    assert "partition" in chain.called(regulars, OWNER, "months").stdout
    chain.say(OWNER, f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {WORKER}")
    assert f'GRANT USAGE ON SCHEMA public TO "{WORKER}"' in chain.called(regulars, WORKER, "doctor").stdout
    chain.say(OWNER, f"GRANT USAGE ON SCHEMA public TO PUBLIC, {WORKER}")
    assert ends(WORKER, "import", *write_files(tmp_path / "files")) == 0
    assert ends(WORKER, "run", "--as-of", AT) == 0
    assert ends(WORKER, "approve", "--all", "--by", "Dana") == 0
    chain.program(READER, "pg_dump", "--format=custom", f"--file={tmp_path / 'regulars.dump'}", chain.name)
    assert ends(WORKER, "dispatch", "--as-of", AT) == 0
    assert "let the owner of the tables call" in chain.called(regulars, WORKER, "months").stdout
    may_only_read(chain, regulars)
    brought_back(chain, regulars, tmp_path / "regulars.dump")


def may_only_read(chain: Chain, regulars: Regulars) -> None:
    sent = lines(chain.called(regulars, READER, "log", "--format", "json"))
    assert {row["state"] for row in sent} >= {"sent"}
    proved = chain.called(regulars, READER, "verify", "--as-of", AT)
    assert proved.exit_code == 0, proved.stdout
    for words in ("schedule", "doctor --schedule", "validate --cost", "months", "log --state refused"):
        assert chain.called(regulars, READER, *words.split()).exit_code == 0, words
    refused = chain.called(regulars, READER, "stop")
    assert refused.exit_code == 75
    assert refused.stderr.startswith(
        'The PostgreSQL role "regulars_reader" may not do that: permission denied for table'
    )
    for question in QUESTIONS:
        chain.say(READER, question)
    sees_who_works(chain)
    for role in (WORKER, READER):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            chain.say(role, "CREATE TABLE public.mine (id integer)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        chain.say(READER, "DELETE FROM dispatches")


def sees_who_works(chain: Chain) -> None:
    (who,) = [question for question in QUESTIONS if "waits_for" in question]
    worker = psycopg.connect(chain.server.url(chain.name, WORKER), application_name="regulars")
    with worker, psycopg.connect(chain.server.url(chain.name, READER)) as reader:
        worker.execute("SELECT 1")
        told = {row[0]: row[3] for row in reader.execute(who)}
        assert told[worker.info.backend_pid] == "idle in transaction"


def brought_back(chain: Chain, regulars: Regulars, dump: Path) -> None:
    """What was handed over after the dump is known from the journal, and partitions, sequences and rights are back."""
    mails = sorted(each.name for each in (chain.root / "outbox").rglob("*.eml"))
    assert mails
    before, chain.name = chain.name, chain.server.create()
    chain.server.drop(before)
    chain.server.run(f'ALTER DATABASE "{chain.name}" OWNER TO {OWNER}')
    chain.grant()
    chain.program(OWNER, "pg_restore", "--exit-on-error", f"--dbname={chain.name}", str(dump))
    assert chain.called(regulars, WORKER, "dispatch", "--as-of", AT).exit_code == 75
    refused = chain.called(regulars, WORKER, "restore", "--reconcile", "--by", "Dana")
    assert refused.exit_code == 75
    assert 'call this as the role that owns the tables, "regulars_owner"' in refused.stderr
    assert lines(chain.called(regulars, READER, "log", "--state", "uncertain", "--format", "json")) == []
    reconciled = chain.called(regulars, OWNER, "restore", "--reconcile", "--by", "Dana")
    assert reconciled.exit_code == 0, reconciled.stderr
    assert chain.called(regulars, WORKER, "dispatch", "--as-of", AT).exit_code == 0
    assert sorted(each.name for each in (chain.root / "outbox").rglob("*.eml")) == mails
    unsure = lines(chain.called(regulars, READER, "log", "--state", "uncertain", "--format", "json"))
    assert len(unsure) >= len(mails)
    verified = chain.called(regulars, READER, "verify", "--as-of", AT)
    assert verified.exit_code == 0, verified.stdout
    months = {
        row["month"]: row["kept_in"] for row in lines(chain.called(regulars, OWNER, "months", "--format", "json"))
    }
    assert months[f"{NOW:%Y-%m}"] == "partition"
