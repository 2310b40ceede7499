"""Answers the requests of a page. Imports no TensorFlow."""

import http
import http.server
import json
import socket
import time
import urllib.parse
from pathlib import Path

import console

MAX_BODY = 32 * 2**20  # bytes of a request
EVERY = 0.2  # seconds between two reports of the progress
PAUSE = 0.01  # seconds in which another call may take its turn
TIMEOUT = 30  # seconds that a connection may be silent
FILES = {  # path in the URL → file, MIME type
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {  # of all answers: the page takes nothing from elsewhere, and nothing else may frame it
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Refused(console.Failed):
    """A request that is not answered. Its arguments are the HTTP status and a line of text."""

    def __str__(self):
        return self.args[1]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request with a file of the page or a line of JSON."""

    timeout = TIMEOUT
    server_version, sys_version = "page", ""
    streams, told = False, 0.0  # has the answer begun; when it was last written to

    def do_GET(self):
        """Send a file of the page, or its facts."""
        try:
            self._check()
            path = self.path.partition("?")[0]  # some viewers of pages add fields of their own
            if path == "/facts":
                return self._send(http.HTTPStatus.OK, self.server.page.facts)
            if path not in FILES:
                raise Refused(http.HTTPStatus.NOT_FOUND, "there is no such page")
        except Refused as error:
            return self._send(error.args[0], {"error": str(error)})
        name, kind = FILES[path]
        return self._send_bytes(http.HTTPStatus.OK, kind, read_file(name))

    def do_POST(self):
        """Run a call of the page, and send what it returns, or a line with the error."""
        try:
            self._check()
            self._check_origin()
            path, _, query = self.path.partition("?")
            call = self.server.page.calls.get(path.removeprefix("/"))
            if call is None:
                raise Refused(http.HTTPStatus.NOT_FOUND, "there is no such call")
            fields, body = dict(urllib.parse.parse_qsl(query)), self._read_body()
            with self.server.busy:
                if self.server.ending.is_set() or self._has_gone():
                    return
                status, result = http.HTTPStatus.OK, call(fields, body, self._tell)
        except (ConnectionError, TimeoutError, console.Stopped):
            return
        except console.Failed as error:
            status = error.args[0] if isinstance(error, Refused) else http.HTTPStatus.BAD_REQUEST
            result = {"error": console.plain(str(error))}
        except Exception as error:  # of any kind: the server goes on
            status = http.HTTPStatus.INTERNAL_SERVER_ERROR
            text = console.plain(f"{type(error).__name__}: {console.first_line(error)}")
            result = {"error": text}
            print(f"the page had an error: {text}", flush=True)
        self._send(status, result)

    def send_error(self, code, message=None, explain=None):
        """Answer a request that is no valid one, in the form of all errors."""
        self.close_connection = True
        self._send(code, {"error": message or http.HTTPStatus(code).phrase})

    def log_message(self, *_):
        """Print nothing."""

    def _check(self):
        """Raise Refused if the browser knows this server by a name that is not its own."""
        host = self.headers.get("Host", "")
        if not self.server.knows(host):
            raise Refused(
                http.HTTPStatus.FORBIDDEN,
                f"this page is not at {console.plain(host)[:100] or 'an address without a name'}: "
                "use the address that the program has printed",
            )

    def _check_origin(self):
        """Raise Refused if the request is not from the page itself, but from another site."""
        if self.headers.get("Origin") != f"http://{self.headers['Host']}":
            raise Refused(http.HTTPStatus.FORBIDDEN, "only the page itself may ask for this")

    def _read_body(self):
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(http.HTTPStatus.LENGTH_REQUIRED, "the size of the request is missing")
        size = int(length[:12])
        if size > MAX_BODY:
            self._skip(min(size, 4 * MAX_BODY))  # else some browsers do not show the answer
            raise Refused(
                http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the file has {size / 2**20:,.0f} MB: at most {MAX_BODY // 2**20} MB are taken",
            )
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the request has ended early")
        return body

    def _skip(self, size):
        while size > 0 and (part := self.rfile.read(min(size, 2**16))):
            size -= len(part)

    def _has_gone(self):
        """Return whether the browser has closed the connection: it waits for a newer picture."""
        self.connection.settimeout(0)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.connection.settimeout(self.timeout)

    def _tell(self, done, total):
        """Send a line with the progress of a call, and let other calls run in between.

        Raises:
          console.Stopped: if the server ends.
          ConnectionError: if the browser has gone.
        """
        if self.server.ending.is_set():
            raise console.Stopped
        if time.monotonic() - self.told >= EVERY or not self.streams:
            self._send(http.HTTPStatus.OK, {"done": int(done), "total": int(total)}, last=False)
            self.server.busy.release()
            time.sleep(PAUSE)
            self.server.busy.acquire()
            self.told = time.monotonic()

    def _send(self, status, result, last=True):
        """Send a line of JSON. The first line of an answer with several sets its status."""
        line = json.dumps(result, allow_nan=False).encode() + b"\n"
        if self.streams:
            self.wfile.write(line)
        else:
            self._send_bytes(status, "application/json", line, last)
        self.streams = not last

    def _send_bytes(self, status, kind, body, last=True):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if last:
            self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def read_file(name):
    """Return the bytes of a file of the page."""
    return Path(__file__).with_name(name).read_bytes()
