"""Alembic environment, packaged so that `latchwork-cloud serve` can migrate."""
