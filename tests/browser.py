"""A real browser that opens a page of ours and runs a script in it."""

import itertools
import json
import shutil
import subprocess
import threading

import pytest

CHROMIUM = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian's package chromium)"
)

#: Seconds after which a browser is given up; on a busy machine it takes a while.
PATIENCE = 240

#: Text of the element `<pre id="result">`, as soon as there is one.
RESULT = """new Promise((done) => {
  const look = () => {
    const found = document.getElementById("result");
    if (found) done(found.textContent); else setTimeout(look, 20);
  };
  look();
})"""


def result_of(html, folder, window="1280,800"):
    """Open a page headless; what it puts into an element `<pre id="result">`, parsed as JSON.

    The browser is driven through a pipe by its own protocol, in real time: --dump-dom with a
    budget of virtual time does not wait for files that a page reads.
    """
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    # The pipe is at descriptors 3 and 4 of the browser.
    command = ["sh", "-c", 'exec "$@" 3<&0 4>&1 >/dev/null 2>&1', "sh", CHROMIUM]
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={window}",
               f"--user-data-dir={folder}/profile", "--remote-debugging-pipe"]  # fmt: skip
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as browser:
        end = threading.Timer(PATIENCE, browser.kill)
        end.start()
        try:
            return json.loads(_opened(browser, path.as_uri()))
        finally:
            end.cancel()
            browser.kill()


def _opened(browser, address):
    """Open a page, and wait for its result."""
    numbers = itertools.count(1)

    def call(method, **parameters):
        number = next(numbers)
        message = {"id": number, "method": method, "params": parameters, **session}
        browser.stdin.write(json.dumps(message).encode() + b"\0")
        browser.stdin.flush()
        found = _read(browser.stdout, lambda got: got.get("id") == number)
        assert "error" not in found, found
        return found["result"]

    session = {}
    target = call("Target.createTarget", url="about:blank")["targetId"]
    attached = call("Target.attachToTarget", targetId=target, flatten=True)
    session = {"sessionId": attached["sessionId"]}
    call("Page.enable")
    call("Page.navigate", url=address)
    _read(browser.stdout, lambda got: got.get("method") == "Page.loadEventFired")
    got = call("Runtime.evaluate", expression=RESULT, awaitPromise=True, returnByValue=True)
    return got["result"]["value"]


def _read(pipe, fits):
    """The next message that fits; what comes before it is skipped."""
    text = bytearray()
    while byte := pipe.read(1):
        if byte != b"\0":
            text += byte
            continue
        message = json.loads(text)
        if fits(message):
            return message
        text.clear()
    raise AssertionError("The browser ended before the page had a result.")
