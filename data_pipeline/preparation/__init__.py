"""The job that turns a corpus into training samples, on Ray Data.

A plan is committed first (``planning``): every row of the corpus in shards, rows that are not used with their reason.
Then one streaming pipeline (``pipeline``) decodes and cleans the clips of a shard in tasks, runs models on them in
actor pools, tokenises, and publishes each shard as a whole.
"""
