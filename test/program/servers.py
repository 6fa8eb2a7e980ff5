# SPDX-License-Identifier: Apache-2.0
"""Web servers for tests, each with one folder on the loopback interface: nginx over TLS, Python's http.server, and
http_server.py, which misbehaves on demand. Use them in with statements."""
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
CONFIG = """\
{user}
daemon off;
pid nginx.pid;
error_log error.log;
worker_processes 1;
worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{
    log_format short '$connection $status $body_bytes_sent $request_method $http_range';
    access_log access.log short;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port} ssl backlog=1024;
        ssl_certificate server.pem;
        ssl_certificate_key server.key;
        root {root};
    }}
}}
"""


def make_certificates(folder):
    """ca.pem, and server.pem with server.key for 127.0.0.1, by the openssl program."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    for arguments in (["-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.pem"],
                      ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                       "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout",
                       "server.key", "-out", "server.pem"]):
        subprocess.run(["openssl", "req", "-x509", *key, *arguments], cwd=folder, check=True, capture_output=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(500):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"the server at port {port} does not start")


class Nginx:
    """Serves @root over TLS. ca: certificate to trust. requests(): (connection, status, body bytes, method, range)."""

    def __init__(self, root, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        make_certificates(self.folder)
        self.ca = self.folder / "ca.pem"
        self.port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not read a folder that is ours
        (self.folder / "nginx.conf").write_text(CONFIG.format(user=user, port=self.port, root=root))

    def __enter__(self):
        self.process = subprocess.Popen([NGINX, "-p", self.folder, "-c", "nginx.conf", "-e", "error.log"],
                                        stderr=subprocess.DEVNULL)
        wait_for(self.port, self.process)
        (self.folder / "access.log").write_text("")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def url(self, path):
        return f"https://127.0.0.1:{self.port}/{path}"

    def requests(self):
        lines = (self.folder / "access.log").read_text().splitlines()
        return [(int(c), int(status), int(sent), *rest) for c, status, sent, *rest in (line.split() for line in lines)]


class Plain:
    """python3 -m http.server: supports no ranges, closes after each response."""
    ca = None

    def __init__(self, root):
        self.root = root
        self.port = free_port()

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory",
                                         self.root, str(self.port)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(self.port, self.process)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"


class Moody:
    """http_server.py. With a new folder @tls for its certificates, over TLS."""

    def __init__(self, root, tls=None):
        self.root = root
        self.tls = tls
        self.ca = tls and tls / "ca.pem"

    def __enter__(self):
        options = []
        if self.tls:
            self.tls.mkdir()
            make_certificates(self.tls)
            options = ["--cert", self.tls / "server.pem", "--key", self.tls / "server.key"]
        self.options, self.port = options, 0
        self.start()
        return self

    def start(self):
        """At the port that it had before, if it had one."""
        script = pathlib.Path(__file__).with_name("http_server.py")
        self.process = subprocess.Popen([sys.executable, script, self.root, "--port", str(self.port), *self.options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        """Its connections end with it."""
        self.process.communicate()

    def __exit__(self, *_):
        self.stop()

    def url(self, path):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/{path}"

    def log(self):
        context = ssl.create_default_context(cafile=self.ca) if self.tls else None
        with urllib.request.urlopen(self.url("__log"), context=context) as response:
            return json.load(response)

    def paths(self):
        """What was asked for so far."""
        return [entry["path"] for entry in self.log()]

    def requests(self):
        """The requests so far for bundles: (connection, status, first byte, last byte)."""
        log = self.log()
        ranges = (re.fullmatch(r"bytes=(\d+)-(\d+)", entry["headers"]["range"]) for entry in log)
        return [(entry["connection"], entry["status"], int(wanted[1]), int(wanted[2]))
                for entry, wanted in zip(log, ranges)]
