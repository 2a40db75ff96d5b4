"""Taking a port before anything slow is done, so that a port in use is said at once."""

from __future__ import annotations

import socket

from hemix.errors import EnvironmentProblem


def take_port(host: str, port: int, *, option: str) -> socket.socket:
    """A socket bound to ``host:port`` (0: any free port), not yet listening.

    Args:
        host: address to listen at.
        port: 0 for any free one.
        option: the option that chooses the port, for the message.

    Raises:
        EnvironmentProblem: the port is in use or not allowed; names it.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise EnvironmentProblem(
            f"{host} is not an address of this machine ({error.strerror}).",
            hint="Choose another: --host 127.0.0.1, or 0.0.0.0 for every one.",
        ) from error
    taken = socket.socket(family, kind, protocol)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise EnvironmentProblem(
            f"Port {port} on {host} cannot be used ({error.strerror}).",
            hint=f"Stop what listens there, or choose another: {option} N.",
        ) from error
    return taken
