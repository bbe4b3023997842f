"""Settings of a Ray that serves, in the environment of its processes, which read them when they start. Serving works on
any other Ray too, but first audio comes later there (``benchmarks/README.md``), and a replica that hangs while no
gateway is connected to it is replaced only after the drain time."""

import os

RAY_SETTINGS = {
    # Serve's own calls (to reserve a connection to a stage, and to the gateway) cost less by gRPC than as actor calls.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # Bytes. The body of a request with some seconds of audio comes from the proxy without a detour through the object
    # store.
    "RAY_max_direct_call_object_size": str(2**20),
    # Metrics are reported every second, not every ten.
    "RAY_metrics_report_interval_ms": "1000",
    # A replica that hangs is killed: it cannot drain.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    # Odd headers are cleaned before Serve's proxies read them.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.proxy:middlewares",
}


def prefer_ray_settings() -> None:
    """For a Ray that this process is about to start; variables that the environment has already are kept."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
