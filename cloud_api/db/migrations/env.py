"""Runs the migrations on the connection that `cloud_api.db.migrate` hands over."""

from alembic import context

from cloud_api.db.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
