"""Alembic's migrations; they travel in the wheel."""
