"""The server of a page, for browsers on this computer. Imports no TensorFlow.

A page is an object with `facts`, a dict for JSON, and `calls`, a dict of name → function of (fields
of the URL, bytes of the request, `tell`) that returns a dict for JSON. The function may call `tell`
with (items done, their number in all). It raises console.Failed for a request that it refuses. One
call runs at a time.
"""

import contextlib
import errno
import http.server
import ipaddress
import os
import socket
import socketserver
import sys
import threading
import urllib.parse
import webbrowser

import console
from serving.handler import Handler

PORTS = 20  # that are tried, if the first is taken
WAIT = 0.2  # seconds between two looks for a signal
LOCAL = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")
# Without these variables, the browser would be one of texts, in the terminal.
WINDOWS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


class Server(http.server.ThreadingHTTPServer):
    """Listens on an address, and answers once `run` is called.

    Attributes:
      page: the page, see the module. It must be set before `run`.
      url: address of the page.

    Args:
      host: address to listen on, or a name of it. One of IPv6 may stand in brackets.
      port: number of the port; 0 for any that is free.

    Raises:
      OSError: if it cannot listen there.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # Windows would share a port that is taken
    allow_reuse_port = False

    def __init__(self, host, port):
        self.page, self.host = None, host.removeprefix("[").removesuffix("]")
        self.busy, self.ending = threading.Lock(), threading.Event()
        self.address_family = find_family(self.host)
        super().__init__((self.host, port), Handler)
        self.address = read_address(self.server_address[0])
        local = "127.0.0.1" if self.address_family == socket.AF_INET else "::1"
        shown = local if self.address.is_unspecified else self.host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.server_address[1]}/"

    def server_bind(self):
        """Bind the socket. The base class would look up the name of this computer, too."""
        socketserver.TCPServer.server_bind(self)

    def lines(self, asked):
        """Return the lines that tell where the page is. `asked` is the port that was wanted."""
        port, found = self.server_address[1], []
        if asked and port != asked:
            found.append(f"port {asked} is taken: the page has the port {port}")
        if not self.address.is_loopback:
            found.append(
                f"--host={self.host}: other computers that reach this address can use the page, "
                "without a password"
            )
        return [*found, f"the page is at {self.url} (Ctrl-C ends it)"]

    def knows(self, host):
        """Return whether `host`, as in the header of this name, is an address of the page.

        Another name is one that a site elsewhere has made an address of this computer (DNS
        rebinding).
        """
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self.host.lower()):
            return True
        try:
            found = read_address(name)
        except ValueError:
            return False
        return self.address.is_unspecified or found in (*LOCAL, self.address)

    def handle_error(self, request, client_address):
        """Print nothing: the connection is broken, since `Handler` answers all other errors."""

    def run(self):
        """Answer requests until `ending` is set, or a signal asks to stop.

        Returns:
          The name of the signal, or None.
        """
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        with console.stop_requests() as asked:
            thread.start()
            try:
                while not asked and not self.ending.wait(WAIT):
                    pass
            finally:
                self.ending.set()
                self.shutdown()
                self.server_close()
                with self.busy:  # TensorFlow must not be at work when the process ends
                    pass
            return asked[0] if asked else None


def find_family(host):
    """Return the family of a host's addresses; AF_INET if it has such addresses and others.

    Raises:
      OSError, UnicodeError: if it has none.
    """
    families = {family for family, *_ in socket.getaddrinfo(host, None)}
    return socket.AF_INET if socket.AF_INET in families else socket.AF_INET6


def read_address(text):
    """Return a text as an IP address: the same for all spellings, also as IPv4 within IPv6.

    Raises:
      ValueError: if it is none.
    """
    found = ipaddress.ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


def listen(host, port, fixed):
    """Return a `Server`.

    Args:
      host: address to listen on, or a name of it.
      port: number of the port.
      fixed: False takes one of the next `PORTS` ports if this one is taken.

    Raises:
      console.Failed: if it cannot listen there.
    """
    for number in range(port, port + 1 if fixed else min(port + PORTS, 2**16)):
        try:
            return Server(host, number)
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                raise console.Failed(
                    f"cannot serve a page on --host={host}, --port={number}: "
                    f"{getattr(error, 'strerror', None) or console.first_line(error)}"
                ) from None
    taken = f"port {port} is" if fixed else f"the ports {port} to {number} are"
    raise console.Failed(f"{taken} taken on {host}: give another --port, or --port 0")


def open_browser(url):
    """Open a page in a browser, if there is one with a window. Never fails, and does not wait."""

    def show():
        with contextlib.suppress(Exception):
            webbrowser.open(url)

    if sys.platform in ("darwin", "win32") or any(map(os.environ.get, WINDOWS)):
        threading.Thread(target=show, daemon=True).start()
