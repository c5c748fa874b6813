"""What is kept, and how SQLite and PostgreSQL are spoken to."""
