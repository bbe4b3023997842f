"""The interface by which the workers of other machines are reached."""

import psutil
import pytest

from ray_jobs.torch_backend import interface_of


def test_each_address_of_this_machine_has_its_interface() -> None:
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family.name == "AF_INET":
                assert interface_of(address.address) == name


@pytest.mark.parametrize("address", ["203.0.113.9", "node-7"])  # of another machine, RFC 5737; a name
def test_another_address_has_none(address: str) -> None:
    assert interface_of(address) is None
