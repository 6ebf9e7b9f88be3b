"""Alembic's entry point. radvlm passes the store's path; nothing is read from an ini file."""

from alembic import context

from radvlm_cli.store.engine import connect_engine
from radvlm_cli.store.tables import SQLModel

engine = connect_engine(context.config.attributes["store"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
