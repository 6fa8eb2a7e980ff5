#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 server for tests, which misbehaves where the URL's first part says so.

Serves the files of a folder on the loopback interface, prints its port on stdout, stops when stdin ends.

  /FILE                         the file, honouring Range (206, 416), kept alive
  /norange/FILE                 ignores Range
  /nolength/FILE                no Content-Length: the end of the connection ends the body
  /chunked/FILE[?n=1000]        chunks of n bytes
  /chunked-short/FILE           the connection ends before the last chunk
  /short/FILE?n=N               announces the whole, sends N bytes, closes in order
  /drop/FILE?after=N            announces the whole, sends N bytes, resets the connection
  /slow/FILE?ms=MS[&n=1000]     pauses MS milliseconds before each n bytes
  /slow-headers/FILE?ms=MS      the same before each of 20 headers
  /stall/FILE[?after=N]         announces the whole, sends N bytes (0), then nothing for as long as the client stays
  /silent                       does not answer at all for as long as the client stays
  /close/FILE                   says "Connection: close", and does
  /keepalive-close/FILE         promises to keep the connection, and closes it
  /hangup                       closes without an answer
  /half-headers                 closes in the middle of the headers
  /garbage                      answers with what is not HTTP
  /flaky/FILE?fail=K            resets the connections of the first K requests for this very URL, then works
  /cut/FILE?every=N             honours Range, resets the connection after N bytes of each response
  /busy/FILE?every=K            honours Range, but every Kth request for this URL gets 503
  /encoded/FILE                 claims "Content-Encoding: gzip" for bytes that are not
  /redirect?to=URL[&code=302]   with a body that must be read before the connection can be used again
  /redirect-loop                to itself
  /signed/FILE?for=K            redirects to a URL that is good for K requests, and 403 (code=C) from then on
  /stale/FILE[?code=403]        redirects to what is refused, every second time
  /drip/FILE?ms=MS[&after=N]    announces the whole, sends N bytes (0), then a byte every MS milliseconds for ever
  /drip-headers?ms=MS           the same in the middle of a header that never ends
  /swap/FILE?after=K            honours Range; from the Kth request for this URL on, the bytes of FILE.other
  /lying-range/FILE[?by=N]      206, but with N bytes (100) before the range that was asked for
  /lying-length/FILE?by=N       206 for the range that was asked for, announced N bytes longer
  /status?code=C                with a short body
  /404                          the same as /status?code=404, as is a missing file
  /empty                        200, Content-Length: 0
  /auth/FILE                    wants basic authentication as user "user" with password "secret"
  /digest/FILE[?n=13]           the same with digest authentication; a refusal has a body of n bytes
  /digest/FILE?once=1           each nonce is good for one request
  /__log                        JSON list of the requests so far: method, path, headers, connection, status
  /__forget                     all of them, and how often each URL was asked for, as if the server had just started
"""

import argparse
import base64
import hashlib
import http.server
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

USER, PASSWORD, REALM = "user", "secret", "test"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body that follows its head waits for the client's delayed ACK

    def setup(self):
        with self.server.lock:
            self.server.connections += 1
            self.connection_id = self.server.connections
        super().setup()

    def log_message(self, *_):
        pass

    def log_request(self, code="-", size="-"):
        if self.entry is not None:
            self.entry["status"] = int(code)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        kind, _, self.file = url.path.lstrip("/").partition("/")
        self.entry = None
        if kind == "__log":
            self.send_body(json.dumps(self.server.log).encode())
            return
        if kind == "__forget":
            self.server.forget()
            self.send_body(b"")
            return
        self.entry = {"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                      "connection": self.connection_id, "status": None}
        with self.server.lock:
            self.server.log.append(self.entry)
        method = getattr(self, "do_" + kind.replace("-", "_"), None) if kind.islower() else None
        if method is not None:
            method()
        elif kind == "404":
            self.send_body(b"not found\n", 404)
        else:
            self.file = url.path.lstrip("/")
            self.with_range()

    do_HEAD = do_POST = do_DELETE = do_GET

    # Pieces of responses

    def number(self, name, default=0):
        return int(self.query.get(name, default))

    def content(self):
        """The file's bytes, or None after a 404."""
        try:
            with open(os.path.join(self.server.root, os.path.basename(self.file)), "rb") as file:
                return file.read()
        except OSError:
            self.send_body(b"not found\n", 404)
            return None

    def send_head(self, status, *, and_body=b"", **headers):
        """@param and_body What is sent in one piece with it."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self._headers_buffer += [b"\r\n", and_body]  # as end_headers() does, without a body
        self.flush_headers()

    def send_body(self, body, status=200, **headers):
        self.send_head(status, and_body=body if self.command != "HEAD" else b"", Content_Length=len(body), **headers)

    def reset(self):
        """Ends the connection by a TCP reset: what the client has not read yet is lost."""
        self.wfile.flush()
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.server.was_reset.add(self.request)

    def wait_for_client(self):
        self.wfile.flush()
        while self.request.recv(1024):
            pass
        self.close_connection = True

    # The kinds of behaviour

    def with_range(self, most=None):
        """Answers with the range that is asked for; sends no more than @most bytes of it."""
        body = self.content()
        if body is None:
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            self.send_body(body, Accept_Ranges="bytes")
            return
        first = int(wanted[1])
        last = min(int(wanted[2]) if wanted[2] else len(body) - 1, len(body) - 1)
        if first > last:
            self.send_body(b"", 416, Content_Range=f"bytes */{len(body)}")
        else:
            part = body[first:last + 1]
            self.send_head(206, Content_Length=len(part), Content_Range=f"bytes {first}-{last}/{len(body)}")
            self.wfile.write(part[:most])

    def do_norange(self):
        body = self.content()
        if body is not None:
            self.send_body(body)

    def do_nolength(self):
        body = self.content()
        if body is not None:
            self.send_head(200)
            self.wfile.write(body)
            self.close_connection = True

    def do_chunked(self, last_chunk=b"0\r\n\r\n"):
        body = self.content()
        if body is None:
            return
        self.send_head(200, Transfer_Encoding="chunked")
        size = self.number("n", 1000)
        pieces = [body[start:start + size] for start in range(0, len(body), size)]
        self.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last_chunk)

    def do_chunked_short(self):
        self.do_chunked(last_chunk=b"")
        self.close_connection = True

    def send_part(self, count):
        body = self.content()
        if body is None:
            return False
        self.send_head(200, Content_Length=len(body))
        self.wfile.write(body[:count])
        return True

    def do_short(self):
        if self.send_part(self.number("n")):
            self.close_connection = True

    def do_drop(self):
        if self.send_part(self.number("after")):
            self.wfile.flush()
            time.sleep(0.05)  # A reset overtakes bytes that the client's kernel has not handed out yet.
            self.reset()

    def do_stall(self):
        if self.send_part(self.number("after")):
            self.wait_for_client()

    def do_silent(self):
        self.wait_for_client()

    def do_slow(self):
        body = self.content()
        if body is None:
            return
        self.send_head(200, Content_Length=len(body))
        size = self.number("n", 1000)
        for start in range(0, len(body), size):
            time.sleep(self.number("ms") / 1000)
            self.wfile.write(body[start:start + size])
            self.wfile.flush()

    def do_slow_headers(self):
        body = self.content()
        if body is None:
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(20):
            time.sleep(self.number("ms") / 1000)
            self.wfile.write(b"X-Filler-%d: filler\r\n" % number)
        self.wfile.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def do_close(self):
        body = self.content()
        if body is not None:
            self.send_body(body, Connection="close")
            self.close_connection = True

    def do_keepalive_close(self):
        self.with_range()
        self.close_connection = True

    def do_hangup(self):
        self.close_connection = True

    def do_half_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-Not-")
        self.close_connection = True

    def do_garbage(self):
        self.wfile.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
        self.close_connection = True

    def do_flaky(self):
        with self.server.lock:
            seen = self.server.seen.get(self.path, 0)
            self.server.seen[self.path] = seen + 1
        if seen < self.number("fail"):
            self.reset()
        else:
            self.with_range()

    def do_cut(self):
        self.with_range(self.number("every"))
        self.wfile.flush()
        time.sleep(0.05)
        self.reset()

    def do_busy(self):
        with self.server.lock:
            seen = self.server.seen.get(self.path, 0) + 1
            self.server.seen[self.path] = seen
        if seen % self.number("every") == 0:
            self.send_body(b"try again\n", 503)
        else:
            self.with_range()

    def do_encoded(self):
        body = self.content()
        if body is not None:
            self.send_body(body, Content_Encoding="gzip")

    def do_redirect(self):
        self.send_body(b"moved\n", self.number("code", 302), Location=self.query["to"])

    def do_redirect_loop(self):
        self.send_body(b"moved\n", 302, Location="/redirect-loop")

    def count(self, key):
        with self.server.lock:
            self.server.seen[key] = self.server.seen.get(key, 0) + 1
            return self.server.seen[key]

    def do_signed(self):
        ticket = self.count("tickets")
        target = "/ticket/%s?number=%d&for=%d&code=%d" % (self.file, ticket, self.number("for"), self.number("code", 403))
        self.send_body(b"moved\n", 302, Location=target)

    def do_ticket(self):
        if self.count("ticket%d" % self.number("number")) <= self.number("for"):
            self.with_range()
        else:
            self.send_body(b"it has run out\n", self.number("code"))

    def do_stale(self):
        stale = self.count(self.path) % 2 == 1
        self.send_body(b"moved\n", 302, Location=f"/status?code={self.number('code')}" if stale else "/" + self.file)

    def drip(self):
        while True:
            time.sleep(self.number("ms") / 1000)
            self.wfile.write(b"x")
            self.wfile.flush()

    def do_drip(self):
        if self.send_part(self.number("after", 0)):
            self.drip()

    def do_drip_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Filler: ")
        self.drip()

    def do_swap(self):
        if self.count(self.path) >= self.number("after"):
            self.file += ".other"
        self.with_range()

    def send_lie(self, before, longer):
        body = self.content()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = int(wanted[1]), min(int(wanted[2]), len(body) - 1)
        part = body[max(first - before, 0):last + 1 - before]
        self.send_head(206, Content_Length=len(part) + longer,
                       Content_Range=f"bytes {max(first - before, 0)}-{last - before}/{len(body)}")
        self.wfile.write(part)
        self.close_connection = longer > 0

    def do_lying_range(self):
        self.send_lie(self.number("by", 100), 0)

    def do_lying_length(self):
        self.send_lie(0, self.number("by"))

    def do_status(self):
        self.send_body(b"as you wish\n", self.number("code"))

    def do_empty(self):
        self.send_body(b"")

    def do_auth(self):
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {token}":
            self.with_range()
        else:
            self.send_body(b"who are you?\n", 401, WWW_Authenticate=f'Basic realm="{REALM}"')

    def do_digest(self):
        sent = dict(re.findall(r'(\w+)="?([^",]*)"?', self.headers.get("Authorization", "")))
        nonce = f"nonce{self.server.nonces_used}"
        right = md5(":".join([md5(f"{USER}:{REALM}:{PASSWORD}"), nonce, sent.get("nc", ""), sent.get("cnonce", ""), "auth",
                              md5(f"{self.command}:{self.path}")]))
        if sent.get("response") == right and sent.get("uri") == self.path:
            self.server.nonces_used += self.number("once")
            self.with_range()
        else:
            stale = "true" if sent.get("nonce", nonce) != nonce else "false"
            self.send_body(b"?" * self.number("n", 13), 401, WWW_Authenticate=(
                f'Digest realm="{REALM}", qop="auth", nonce="{nonce}", algorithm=MD5, stale={stale}'))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root, port, context):
        super().__init__(("127.0.0.1", port), Handler)
        self.root = root
        self.context = context
        self.lock = threading.Lock()
        self.connections = 0
        self.was_reset = set()
        self.forget()

    def forget(self):
        with self.lock:
            self.log = []
            self.seen = {}
            self.nonces_used = 0

    def get_request(self):
        connection, address = super().get_request()
        if self.context is not None:
            # The handler thread makes the handshake: a client that never makes it must not block the others.
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def shutdown_request(self, request):
        if request in self.was_reset:
            self.was_reset.discard(request)
            request.close()  # An orderly shutdown() first would send FIN, not RST.
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # Clients that leave early are what the tests are about.


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="folder with the files to serve")
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: any that is free)")
    parser.add_argument("--cert", help="PEM file: serve TLS with this certificate")
    parser.add_argument("--key", help="PEM file with its key")
    args = parser.parse_args()
    context = None
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
    server = Server(args.root, args.port, context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
