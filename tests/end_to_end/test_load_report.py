"""The HTML report of halfstep load, in a browser.

Needs Chromium: $HALFSTEP_CHROMIUM. The browser is asked for the page as it is once
its scripts have run, with a script of the test's own that looks at the plots.
"""
import html
import json
import os
import re
import subprocess

import pytest

from command_line import DONE, folder, halfstep  # noqa: F401

pytestmark = pytest.mark.usefixtures("folder")

# What a plot is: a canvas on which lines of several colours were drawn. Greys are
# axes and grid.
LOOK = """
<script>
const found = [...document.querySelectorAll("canvas")].map((canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = {};
  for (let i = 0; i < pixels.length; i += 4) {
    const [r, g, b, a] = pixels.slice(i, i + 4);
    if (a === 255 && Math.max(r, g, b) - Math.min(r, g, b) > 60) {
      colours[[r, g, b]] = (colours[[r, g, b]] || 0) + 1;
    }
  }
  const lines = Object.values(colours).filter((count) => count > 20).length;
  return {width: canvas.width, height: canvas.height, lines,
          under: canvas.closest("#percentiles, #rates").id};
});
const verdict = document.createElement("pre");
verdict.id = "verdict";
verdict.textContent = JSON.stringify(found);
document.body.append(verdict);
</script>
"""


def browse(page):
    """The page once its scripts have run, and what the console says."""
    done = subprocess.run(
        [os.environ["HALFSTEP_CHROMIUM"], "--headless", "--no-sandbox", "--disable-gpu",
         "--disable-dev-shm-usage", "--no-first-run",
         f"--user-data-dir={page.parent / 'profile'}",
         # No name has an address, and there is no proxy: nothing can be fetched.
         "--host-resolver-rules=MAP * ~NOTFOUND", "--no-proxy-server",
         "--enable-logging=stderr", "--virtual-time-budget=10000", "--window-size=1200,2000",
         "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def look(tmp_path, text):
    """The plots that the report draws, its text and its console."""
    page = tmp_path / "looked_at.html"
    page.write_text(text.replace("</body>", LOOK + "</body>"))
    dom, console = browse(page)
    verdict = re.search(r'<pre id="verdict">(.*?)</pre>', dom, re.DOTALL)
    assert verdict, (console, dom[-2000:])
    return json.loads(html.unescape(verdict.group(1))), dom, console


def report(*arguments):
    done = halfstep("load", *arguments, "--warmup", "0.1s", "--html", "report.html")
    assert done.returncode == DONE, done.stderr
    with open("report.html", encoding="utf-8") as file:
        return file.read()


def test_a_sweep_has_its_plots(server, tmp_path):
    text = report("--server", server.address, "--rates", "50,100,200", "--duration", "1s",
                  "--sizes", "4KiB")
    plots, dom, console = look(tmp_path, text)
    assert console == []
    assert [plot["under"] for plot in plots] == ["percentiles", "rates"]
    for plot in plots:
        assert plot["width"] > 500 and plot["height"] > 300
    # A line for each rate; for each percentile, where they do not cover each other.
    assert plots[0]["lines"] >= 3
    assert plots[1]["lines"] >= 3
    assert server.address in dom
    assert dom.count("<tr>") >= 4


def test_kinds_of_calls_have_a_plot_each(tmp_path):
    text = report("--concurrencies", "1,4", "--duration", "0.5s", "--sweep-sizes", "4KiB,16KiB")
    plots, _, console = look(tmp_path, text)
    assert console == []
    assert [plot["under"] for plot in plots] == ["percentiles", "rates", "rates"]


def test_one_step_is_drawn_too(tmp_path):
    plots, _, console = look(tmp_path, report("--concurrency", "2", "--duration", "0.5s"))
    assert console == []
    assert plots[0]["lines"] >= 1 and plots[1]["lines"] >= 1


def test_the_browser_would_notice(tmp_path):
    """The look at the page fails if a plot is missing or a script fails."""
    text = report("--concurrency", "2", "--duration", "0.5s")
    plots, _, console = look(tmp_path, text.replace("new uPlot(", "new Plot("))
    assert plots == []
    assert any("Plot is not defined" in line for line in console)


def test_nothing_is_fetched():
    text = report("--concurrency", "2", "--duration", "0.5s")
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", text)
    assert "The MIT License" in text and "Leon Sorokin" in text
