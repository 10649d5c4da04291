"""How large the page is and how fast it answers, at 1,000 and 5,000 tokens on the map, with and without WebGL.

Run ``python benchmarks/report_page.py``; needs Debian's Chromium and Playwright. Times are of this machine; the ratio of the two
renderers and the sizes carry over.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "report"))

from synthetic_report import synthetic_report

from analysis.report import write_report

FLAGS = "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
RENDERERS = {
    "SVG (no WebGL)": "--disable-gpu --disable-3d-apis",
    "WebGL (software)": "--use-angle=swiftshader --enable-unsafe-swiftshader",
}
# Median time of five redraws of both maps, to the next painted frame.
REDRAW = """async ([id, values]) => {
  const control = document.getElementById(id), times = [];
  for (const value of values) {
    const began = performance.now();
    control.value = value;
    control.dispatchEvent(new Event("change"));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    times.push(performance.now() - began);
  }
  return times;
}"""
HOVER = """async () => {
  const box = document.getElementById("map-without"), area = box.querySelector(".nsewdrag").getBoundingClientRect(), times = [];
  const target = box.querySelector(".nsewdrag");
  for (let i = 0; i < 12; i++) {
    const began = performance.now();
    const at = { clientX: area.x + area.width * (0.3 + 0.03 * i), clientY: area.y + area.height * 0.5, bubbles: true };
    target.dispatchEvent(new MouseEvent("mousemove", at));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    times.push(performance.now() - began);
  }
  return times;
}"""


def measure(page_file: Path, flags: str) -> dict[str, float]:
    """Seconds to a drawn page, milliseconds to recolour both maps and to follow the pointer."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), headless=True, args=[*FLAGS.split(), *flags.split()]
        )
        page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready=yes]", timeout=120_000)
        page.locator("#map-without").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        found = {
            "open_s": float(page.evaluate("document.documentElement.dataset.drawn")) / 1000,
            "recolour_ms": statistics.median(
                page.evaluate(REDRAW, ["map-colour", ["speaker", "type", "viseme", "relation", "type"]])
            ),
            "hover_ms": statistics.median(page.evaluate(HOVER)),
            "webgl": page.evaluate("document.getElementById('map-without').data[0].type"),
        }
        browser.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1000, 5000])
    asked = parser.parse_args()
    print("| tokens | page without clips | renderer | open | recolour both maps | follow the pointer |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tokens in asked.tokens:
        with tempfile.TemporaryDirectory() as folder:
            made = synthetic_report(layers=tuple(range(13)), n_tokens=tokens, n_utterances=max(24, tokens // 20), n_speakers=20)
            page_file = write_report(made, Path(folder), formats=(), audio=False)["report.html"]
            size = page_file.stat().st_size / 1e6
            for name, flags in RENDERERS.items():
                m = measure(page_file, flags)
                print(
                    f"| {tokens} | {size:.1f} MB | {name}, {m['webgl']} | {m['open_s']:.1f} s | {m['recolour_ms']:.0f} ms "
                    f"| {m['hover_ms']:.0f} ms |"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
