"""Measurements that need no cluster: ``python -m opens2s_core.benchmark NAME --help``."""
