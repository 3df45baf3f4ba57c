"""Stores of jobs: SQLite by default, PostgreSQL by URL."""
