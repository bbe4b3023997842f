"""Run a command while moto's S3 server runs: ``python -m tests.moto MOTO_SERVER COMMAND …``."""

import os
import subprocess
import sys
import time

import s3fs

from tests.conftest import end, free_ports


def main(server: str, *command: str) -> int:
    [port] = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [server, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        store = s3fs.S3FileSystem(endpoint_url=endpoint, key="test", secret="test")
        for _ in range(100):
            try:
                store.mkdir("bucket")
                break
            except OSError:
                time.sleep(0.1)
        return subprocess.run(command, env=os.environ | {"TEST_S3_ENDPOINT": endpoint}, check=False).returncode
    finally:
        end(process)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
