"""Storage: tables, transactions and migrations."""
