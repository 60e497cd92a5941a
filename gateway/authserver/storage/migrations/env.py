"""What Alembic runs: all missing versions, on the connection and in the transaction handed in."""

from alembic import context

from gateway.authserver.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table in place: batches build it anew and copy.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
