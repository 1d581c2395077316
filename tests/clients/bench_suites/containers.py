"""The recipe of docs/testing.md for testcontainers: the container is constructed. Docker is a stand-in, and runs none."""

from unittest import mock

with mock.patch("docker.from_env"):
    from bench_container import BENCH, addresses, bench

    container = bench()
assert container.image == "dunlin" and container._command == BENCH, vars(container)
assert list(container.ports) == ["1883", "8080"], container.ports
assert callable(addresses)
