from tests.opens2s_core.threads import one_thread  # noqa: F401 for every module
