"""``validate`` looks into the database, if there is one: are the names known that the files speak of?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from engine.database.complaints import DatabaseUnavailable
from engine.database.engines import open_db, reading
from engine.database.migrations import schema_is_current
from engine.language.problems import Problem
from engine.vocabulary.data_names import strange_names
from engine.vocabulary.home import Checked


def names_not_in_the_data(checked: Checked) -> list[Problem]:
    """Give a warning for each name that the data does not know.

    The database is only read: one that is not there is not made, one of an older version is left as it is, and one that
    cannot be used is no matter of the owner's files; nothing is told then.
    """
    url = checked.database_url
    if not url or not checked.mentions:
        return []
    with suppress(DatabaseUnavailable, SQLAlchemyError, ValueError):
        parsed = make_url(url)
        if parsed.drivername.startswith("sqlite") and not (parsed.database and Path(parsed.database).is_file()):
            return []
        db = open_db(url)
        try:
            if schema_is_current(db):
                with reading(db).connect() as conn:
                    return strange_names(conn, checked.mentions, checked.made)
        finally:
            db.dispose()
    return []
