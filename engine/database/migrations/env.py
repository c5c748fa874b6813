"""What Alembic runs for every upgrade; ``migrate`` hands it the connection."""

from __future__ import annotations

from alembic import context

from engine.database.migrations import VERSION_TABLE
from engine.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite changes a table by rebuilding it
    transactional_ddl=True,  # all steps or none, on SQLite too
)
context.run_migrations()
