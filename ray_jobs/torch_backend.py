"""The process group of training workers on several machines."""

import os
from typing import Any

import psutil
import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend


class NodeAddressTorchConfig(TorchConfig):
    """Gloo listens on the address by which Ray knows a node.

    By itself it listens on the address of the host's name. On many machines that is a loopback address, and workers of
    different nodes do not find each other. An interface that ``GLOO_SOCKET_IFNAME`` names is kept.
    """

    @property
    def backend_cls(self) -> Any:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_name_interface)
        super().on_start(worker_group, backend_config)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """The workers' processes end now. To destroy a group that has lost a rank takes half a minute before."""


def _name_interface() -> None:
    if (interface := interface_of(ray.util.get_node_ip_address())) is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


def interface_of(address: str) -> str | None:
    """The network interface of this machine that has ``address``, if any."""
    interfaces = psutil.net_if_addrs().items()
    return next((name for name, own in interfaces if any(each.address == address for each in own)), None)
