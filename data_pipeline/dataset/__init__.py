"""Sharded data sets: Parquet shards, an index for random access, and a manifest."""
