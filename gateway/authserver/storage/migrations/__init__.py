"""Alembic's environment and the versions of the schema, shipped inside the package."""
