"""Measurements of data preparation and reading."""
