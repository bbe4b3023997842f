"""How a Ray that serves is set: by the environment of its processes, which read it when they start. Serving works on
any other too, only later to be heard (``benchmarks/README.md``)."""

import os

RAY_SETTINGS = {
    # Serve's own calls, of a place at a stage and of the ingress, cost less than as calls of Ray's actors.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # Bytes. The body of a request, with some seconds of sound, comes from the proxy without a detour through the object
    # store.
    "RAY_max_direct_call_object_size": str(2**20),
}


def prefer_ray_settings() -> None:
    """For a Ray that this process is about to start; what the environment says already stays."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
