"""The records in Redis: attempts and what became of their recipients, accounts and their standing."""
