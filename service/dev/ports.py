"""Free ports on the loopback interface."""

import random
import socket

# Below the range that Linux gives to outgoing connections (32768 to 60999), so that a server can be restarted
# on its port without finding it in the hands of somebody's client.
_RANGE = range(20000, 32000)
_ATTEMPTS = 200
_given: set[int] = set()
_share = _RANGE


def keep_to(number: int, of: int) -> None:
    """Give only ports of share `number`, from 0, of `of`: for processes that start servers at the same time."""
    global _share  # noqa: PLW0603 - the ports are the machine's, so there is one share for all of the process
    size = len(_RANGE) // of
    _share = _RANGE[number * size : (number + 1) * size]


def free_ports(count: int) -> tuple[int, ...]:
    """Find `count` ports that nobody listens on, and that were not given before. Raises OSError when out of luck."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            held.append(_bind_any())
        ports = tuple(taken.getsockname()[1] for taken in held)
        _given.update(ports)
        return ports
    finally:
        for taken in held:
            taken.close()


def free_port() -> int:
    """Find one free port."""
    return free_ports(1)[0]


def _bind_any() -> socket.socket:
    """Bind a socket to a random port; it listens to nothing and leaves no trace when it is closed."""
    failure = OSError("no free port")
    fresh = [port for port in _share if port not in _given]
    for port in random.SystemRandom().sample(fresh, min(_ATTEMPTS, len(fresh))):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError as error:
            taken.close()
            failure = error
        else:
            return taken
    raise failure
