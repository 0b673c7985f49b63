"""Serves the explorer on this machine; its scripts come from the installed package, none from a network."""

from collections.abc import Callable, Sequence

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.server.server import Server
from bokeh.server.util import bind_sockets

from cae_jax.errors import InputError
from cae_jax.explorer.atlas import Atlas
from cae_jax.explorer.page import ExplorerPage

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("", "0.0.0.0", "::")  # addresses that stand for all of this machine's


def free_port(address: str, port: int) -> int:
    """A port that can be listened on: the given one or, for 0, one that is free.

    Raises:
        InputError: if it cannot.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"cannot listen on {address}:{port}; a --port is a number from 0 to 65535")
    try:
        sockets, found = bind_sockets(address, port)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot listen on {address}:{port} ({error}); choose another --port") from error
    for socket in sockets:
        socket.close()
    return found


def serve(
    atlas: Atlas,
    port: int = 0,
    address: str = LOOPBACK,
    origins: Sequence[str] = (),
    ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serves until interrupted. Every browser has a page of its own.

    Args:
        atlas: what is shown.
        port: 0 for a free one.
        address: to listen on; anything but loopback lets other machines in.
        origins: `HOST:PORT`s, beside localhost and the address, whose pages may connect.
        ready: called with the page's address once it answers.

    Raises:
        InputError: if the port or address cannot be used.
    """
    application = Application(FunctionHandler(lambda document: _open(atlas, document)))
    port = free_port(address, port)
    host = "localhost" if address in (LOOPBACK, *EVERYWHERE) else address
    allowed = [*origins, *(f"{name}:{port}" for name in {"localhost", LOOPBACK, host})]
    try:
        server = Server({"/": application}, port=port, address=address, allow_websocket_origin=allowed)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot listen on {address}:{port} ({error}); choose another --port") from error
    server.start()
    try:
        ready(f"http://{host}:{server.port}/")
        server.io_loop.start()
    finally:
        server.stop()


def _open(atlas: Atlas, document) -> None:
    ExplorerPage(atlas, document)
