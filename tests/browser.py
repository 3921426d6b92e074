"""A real browser that opens a page of ours and runs a script in it."""

import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian's package chromium)"
)


def result_of(html, folder, window="1280,800", milliseconds=60_000):
    """Open a page headless; what it puts into an element `<pre id="result">`, parsed as JSON."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={window}",
         f"--virtual-time-budget={milliseconds}", f"--user-data-dir={folder}/profile",
         "--dump-dom", path.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (result,) = re.findall(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(result.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
