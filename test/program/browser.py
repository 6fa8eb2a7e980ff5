# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, controlled through the pipe of its DevTools protocol."""
import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe", "about:blank"]
TIMEOUT = 120
DEVTOOLS_IN, DEVTOOLS_OUT = 3, 4  # file numbers that Chromium reads from and writes to


def find():
    """Path of the browser. What SELF_REFLASHER_BROWSER names has to be there."""
    wanted = os.environ.get("SELF_REFLASHER_BROWSER")
    found = shutil.which(wanted or "chromium")
    if wanted and not found:
        raise FileNotFoundError(f"SELF_REFLASHER_BROWSER: no {wanted} here")
    return found


class Browser:
    """One page. Use as a context."""

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read_command, self.commands = os.pipe()
        self.answers, write_answer = os.pipe()

        def connect():
            # both were opened above, and may already have the numbers that are wanted
            sources = os.dup(read_command), os.dup(write_answer)
            os.dup2(sources[0], DEVTOOLS_IN)
            os.dup2(sources[1], DEVTOOLS_OUT)

        self.process = subprocess.Popen([find(), f"--user-data-dir={self.profile.name}", *OPTIONS], preexec_fn=connect,
                                        close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read_command)
        os.close(write_answer)
        self.numbers = itertools.count(1)
        self.buffer = b""
        self.events = []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_):
        os.close(self.commands)  # it ends when its pipe does
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.answers)
        self.profile.cleanup()

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.answers], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            part = os.read(self.answers, 1 << 20)
            if not part:
                raise EOFError("Chromium ended")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self.session is not None:
            command["sessionId"] = self.session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data):]
        deadline = time.monotonic() + TIMEOUT
        while True:
            message = self.receive(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if "method" in message:
                self.events.append(message)

    def wait_for(self, method):
        deadline = time.monotonic() + TIMEOUT
        while not any(event["method"] == method for event in self.events):
            self.events.append(self.receive(deadline))

    def open(self, place, width=1280, height=900, dark=False):
        """Loads a file, or what is at a URL, and waits until it is drawn. `events` then holds what happened meanwhile."""
        self.events = []
        self.resize(width, height)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=place if isinstance(place, str) else place.resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def resize(self, width, height=900):
        """Of a page that is open, from one phone to another, or from one screen to another."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def contrasts(self, selector="body :not(svg, svg *, .swatch)", colour="color"):
        """Of what is visible and has text, or with another property than its colour of all that is selected: contrast to its ground
        (WCAG 2.1), element, text."""
        return self.evaluate(f"""(() => {{
            const luminance = c => {{ const [r, g, b] = c.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; }};
            const contrast = (a, b) => {{ const [x, y] = [a, b].map(luminance).sort((p, q) => q - p); return (x + .05) / (y + .05); }};
            const ground = e => {{ for (; e; e = e.parentElement) {{ const c = getComputedStyle(e).backgroundColor;
                if (c !== "rgba(0, 0, 0, 0)") return c; }} }};
            const isText = e => e.checkVisibility() && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
            return [...document.querySelectorAll({json.dumps(selector)})].filter(e => {json.dumps(colour)} !== "color" || isText(e))
                .map(e => [contrast(getComputedStyle(e)[{json.dumps(colour)}], ground(e)), e.tagName + " " + (e.classList[0] ?? ""),
                           e.textContent]);
        }})()""")

    def requests(self):
        return [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]

    def complaints(self):
        return [event for event in self.events if event["method"] in
                ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]

    def screenshot(self, path):
        """A picture of the whole page, however long."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))
