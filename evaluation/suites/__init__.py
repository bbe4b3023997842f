"""Suites of items, and how answers to them are scored."""
