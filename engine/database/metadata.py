"""The one ``MetaData``, with names for every constraint so that migrations can speak of them."""

from __future__ import annotations

from sqlalchemy import Column, MetaData

from engine.database.sql import Id

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[int]:
    """Give a primary key that is counted up and never reused."""
    return Column("id", Id, primary_key=True, autoincrement=True)
