"""A report in a headless Chromium, where Debian's package is installed: it fits, in both colours, and loads nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from pages import make_facts

from textapp.report.page import page

BROWSER = shutil.which("chromium")
# Runs in the page, in place of the policy that allows no script: what sticks out, and what was loaded.
PROBE = """<script>addEventListener("load", () => {
  const root = document.documentElement, free = e => !e.closest(".scroll, pre");
  const wide = e => free(e) && e.getBoundingClientRect().right > root.clientWidth + 1;
  const out = [...document.body.querySelectorAll("*")].filter(wide);
  parent.postMessage(JSON.stringify({
    width: root.clientWidth, scrolls: root.scrollWidth, out: out.map(e => e.tagName + "." + e.className),
    loaded: performance.getEntriesByType("resource").map(e => e.name),
    paper: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color}), "*");
});</script>"""
# A window is at least 500 wide, a frame in it may be narrower.
FRAME = """<!doctype html><script>addEventListener("message", e =>
  document.body.append(Object.assign(document.createElement("output"), {textContent: e.data})));</script>
<body><iframe style="border: 0; width: %dpx; height: 800px" src="report.html"></iframe></body>"""


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1300, False)])
def test_a_report_fits_and_loads_nothing(tmp_path: Path, width: int, dark: bool) -> None:
    if BROWSER is None:
        pytest.skip("no chromium here: apt-get install chromium")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page(make_facts()))
    (tmp_path / "report.html").write_text(text.replace("</head>", PROBE + "</head>"), encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME % width, encoding="utf-8")
    command = [
        BROWSER,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1400,900",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"]
    command += ["--blink-settings=preferredColorScheme=0"] * dark
    done = subprocess.run(
        [*command, "--dump-dom", f"file://{tmp_path / 'frame.html'}"], capture_output=True, text=True, timeout=120
    )
    found = json.loads(unescape(re.findall(r"<output>(.*?)</output>", done.stdout)[0]))
    assert found["width"] == found["scrolls"] == width and found["out"] == [] and found["loaded"] == []
    bright = {name: sum(map(int, re.findall(r"\d+", found[name])[:3])) for name in ("paper", "ink")}
    assert (bright["ink"] > 600 > 150 > bright["paper"]) if dark else (bright["paper"] > 600 > 150 > bright["ink"])
