"""The page as a reader meets it: opened from disk by a browser that is cut off from the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from synthetic_report import HOSTILE, synthetic_report

from analysis.report import write_report
from analysis.report.clips import make_clips

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def address(report, tmp_path_factory):
    return write_report(report, tmp_path_factory.mktemp("run"), formats=())["report.html"].as_uri()


@pytest.fixture(scope="module")
def opened(chromium, address):
    """The page, opened once; on leaving, nothing may have been complained of or asked of the network."""
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    yield page
    outside = [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    context.close()
    assert complaints == []
    assert outside == []


def wait_until(page, condition, timeout=30_000):
    """Ask until the condition holds: Playwright's own waiting evaluates a text in the page, which the page's policy forbids."""
    for _ in range(timeout // 50):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition} did not come to hold in {timeout / 1000:g} s")


@pytest.fixture
def tab(opened):
    """The page with every control as it was when it was opened."""
    yield opened
    opened.emulate_media(color_scheme="light", media="screen")
    opened.evaluate("document.getElementById('player').pause()")
    opened.select_option("#theme", "auto")
    opened.click("button[data-view=both]")
    for name, value in {"encoder": "0", "method": "umap", "colour": "type"}.items():
        opened.select_option(f"#map-{name}", value)
    opened.focus("#map-without")
    opened.keyboard.press("Escape")
    opened.mouse.move(2, 2)
    wait_until(opened, "document.getElementById('map').dataset.found === document.getElementById('map').dataset.points")


def point(page, side, index):
    """Where a token's mark lies on the screen."""
    page.locator(f"#map-{side}").scroll_into_view_if_needed()
    box = page.locator(f"#map-{side} .scatterlayer .point").nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def uncovered(page, side):
    """A token whose mark is the topmost at its centre, so that a click can only mean it."""
    page.locator(f"#map-{side}").scroll_into_view_if_needed()
    return page.evaluate(
        """(side) => {
          const box = document.getElementById("map-" + side), full = box._fullLayout, trace = box.data[0];
          const at = trace.x.map((x, i) => [full.xaxis.l2p(x), full.yaxis.l2p(trace.y[i])]);
          let best = 0, most = -1;
          for (let i = 0; i < at.length; i++) {
            const near = Math.min(...at.map((p, j) => (i === j ? 1e9 : Math.hypot(p[0] - at[i][0], p[1] - at[i][1]))));
            if (near > most) { most = near; best = i; }
          }
          return best;
        }""",
        side,
    )


def test_points_are_drawn_and_every_figure_too(tab, report):
    tokens = len(report.tables["tokens"])
    assert tab.locator("#map-without .point").count() == tokens
    assert tab.locator("#map-with .point").count() == tokens
    for name in ("headline", "layers", "distances", "pairs", "heat", "nulls"):
        assert tab.locator(f"#{name}-plot .cartesianlayer :is(.trace, .point, image)").count() > 0, name
    assert tab.locator("h1").inner_text() == report.title
    assert "SYNTHETIC" in tab.locator("main > .synthetic").inner_text()


def test_click_plays_the_syllable_and_then_the_sentence(tab, report):
    index = uncovered(tab, "without")
    row = report.tables["tokens"].iloc[index]
    tab.evaluate(
        """() => { const player = document.getElementById("player"); window.log = [];
        for (const kind of ["play", "pause", "ended"])
          player.addEventListener(kind, () => window.log.push([kind, player.currentTime])); }"""
    )
    tab.mouse.click(*point(tab, "without", index))
    wait_until(tab, "window.log.length >= 3", timeout=20_000)
    log = tab.evaluate("window.log")
    assert [kind for kind, _ in log[:3]] == ["play", "pause", "play"]
    assert log[0][1] == pytest.approx(row["start"], abs=0.03)
    # A busy machine stops late, never early.
    assert row["end"] - 0.01 <= log[1][1] <= row["end"] + 0.5
    assert log[2][1] == pytest.approx(0, abs=0.05)
    wait_until(tab, "!document.getElementById('player').paused && document.getElementById('player').currentTime > 0.1")
    duration = tab.evaluate("document.getElementById('player').duration")
    utterances = report.tables["utterances"].set_index("utterance")
    assert duration == pytest.approx(utterances.loc[row["utterance"], "duration"], abs=0.1)  # whole MP3 frames
    card = tab.locator("#token-card").inner_text()
    assert all(str(part) in card for part in (row["word"], row["type"], row["utterance"], row["speaker"], f"{row['start']:.3f}"))
    assert tab.locator("#map-without .ring").is_visible() and tab.locator("#map-with .ring").is_visible()


def test_hover_tells_word_syllable_utterance_speaker_and_time(tab, report):
    index = uncovered(tab, "with")
    row = report.tables["tokens"].iloc[index]
    tab.mouse.move(*point(tab, "with", index))
    label = tab.locator("#map-with .hoverlayer .hovertext")
    label.wait_for(timeout=10_000)
    shown = label.text_content()
    for part in (row["word"], row["type"], row["utterance"], row["speaker"], f"{row['start']:.3f}–{row['end']:.3f} s"):
        assert str(part) in shown


def test_search_narrows_both_maps_and_the_list(tab, report):
    tokens = report.tables["tokens"]
    wanted = int((tokens["word"] == "sheep").sum())
    assert 0 < wanted < 60
    tab.fill("#map-search", "sheep")
    wait_until(tab, f"document.getElementById('map').dataset.found === '{wanted}'")
    assert tab.locator("#found li").count() == wanted
    for side in ("without", "with"):
        selected = tab.evaluate(f"document.getElementById('map-{side}').data[0].selectedpoints")
        assert sorted(selected) == sorted(tokens.index[tokens["word"] == "sheep"])
        faint = tab.evaluate(
            f"[...document.querySelectorAll('#map-{side} .point')].filter((p) => Number(p.style.opacity) < 0.2).length"
        )
        assert faint == len(tokens) - wanted
    tab.fill("#map-search", "SH IY P, SH IH P")
    both = int(tokens["type"].isin(["SH IY P", "SH IH P"]).sum())
    wait_until(tab, f"document.getElementById('map').dataset.found === '{both}'")
    tab.fill("#map-search", "no such word")
    wait_until(tab, "document.getElementById('map').dataset.found === '0'")
    tab.fill("#map-search", "")
    wait_until(tab, f"document.getElementById('map').dataset.found === '{len(tokens)}'")


def test_with_and_without_toggle_and_colours_change(tab):
    without, with_module = tab.locator(".panel[data-side=without]"), tab.locator(".panel[data-side=with]")
    tab.click("button[data-view=without]")
    assert without.is_visible() and not with_module.is_visible()
    assert tab.get_attribute("button[data-view=without]", "aria-pressed") == "true"
    tab.click("button[data-view=with]")
    assert with_module.is_visible() and not without.is_visible()
    tab.click("button[data-view=both]")
    assert with_module.is_visible() and without.is_visible()
    seen = set()
    for colour in ("type", "viseme", "onset_viseme", "speaker", "relation"):
        tab.select_option("#map-colour", colour)
        seen.add(tab.locator("#map-legend").inner_text())
    assert len(seen) == 5
    tab.select_option("#map-encoder", "1")
    assert "random:bundled" in tab.locator("#map-with-caption").inner_text()
    tab.select_option("#map-method", "pca")
    caption = tab.locator("#map-with-caption").inner_text()
    assert "PCA" in caption and "Trustworthiness 0.951" in caption and "SYNTHETIC" in caption


def test_lasso_selects_in_both_maps(tab):
    tab.locator("#map-without").scroll_into_view_if_needed()
    box = tab.locator("#map-without .nsewdrag").bounding_box()
    left, top, right, bottom = box["x"] + 8, box["y"] + 8, box["x"] + box["width"] * 0.5, box["y"] + box["height"] - 8
    tab.mouse.move(left, top)
    tab.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 4)):
        tab.mouse.move(x, y, steps=4)
    tab.mouse.up()
    wait_until(
        tab, "Number(document.getElementById('map').dataset.found) < Number(document.getElementById('map').dataset.points)"
    )
    chosen = [tab.evaluate(f"document.getElementById('map-{side}').data[0].selectedpoints") for side in ("without", "with")]
    assert chosen[0] == chosen[1] and len(chosen[0]) > 5
    tab.focus("#map-without")
    tab.keyboard.press("Escape")
    wait_until(tab, "document.getElementById('map').dataset.found === document.getElementById('map').dataset.points")


def test_keyboard_alone_reaches_and_plays_a_token(tab):
    tab.focus("#map-search")
    tab.keyboard.type("ship")
    wait_until(tab, "Number(document.getElementById('map').dataset.found) < 60")
    tab.focus("#map-with")
    tab.keyboard.press("ArrowRight")
    first = tab.locator("#token-card").inner_text()
    seen = {first}
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"):
        tab.keyboard.press(key)
        seen.add(tab.locator("#token-card").inner_text())
    assert len(seen) > 1 and all(card.startswith("ship") for card in seen)
    assert tab.evaluate("document.getElementById('player').paused")
    tab.keyboard.press("Enter")
    wait_until(tab, "!document.getElementById('player').paused")


def test_every_control_has_a_name_for_screen_readers(tab):
    unnamed = tab.evaluate(
        """() => [...document.querySelectorAll("button, select, input, audio, [tabindex='0'], [role=img]")].filter((e) =>
          !e.closest(".modebar-container") && !e.getAttribute("aria-label") && !e.labels?.length && !e.textContent.trim()
        ).map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []
    levels = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1 and levels[1] == 2 and set(levels[1:]) == {2, 3}
    assert tab.get_attribute("html", "lang") == "en"


def test_dark_mode_by_system_and_by_choice(tab):
    def ground():
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    def plot():
        return tab.evaluate("document.getElementById('layers-plot')._fullLayout.paper_bgcolor")

    light = ground()
    tab.emulate_media(color_scheme="dark")
    wait_until(tab, "document.getElementById('layers-plot')._fullLayout.paper_bgcolor === '#16181b'")
    assert ground() != light
    tab.select_option("#theme", "light")
    assert ground() == light and plot() == "#ffffff"
    tab.select_option("#theme", "dark")
    assert ground() != light and plot() == "#16181b"


# Elements with text of their own whose ratio to the ground behind them is under 4.5 to 1 (WCAG 2.2 AA).
POOR_CONTRAST = """() => {
          const parse = (c) => c.match(/[\\d.]+/g).map(Number);
          const light = (c) => { const [r, g, b] = parse(c).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (parse(c)[3] !== 0) return c; } return "rgb(255,255,255)"; };
          const found = [];
          for (const e of document.querySelectorAll("main *:not(svg *):not(button:disabled):not(option)")) {
            if (e.closest("svg, .modebar-container, details:not([open])") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.offsetParent) continue;
            const a = light(getComputedStyle(e).color), b = light(ground(e)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push([e.tagName, e.textContent.slice(0, 40), ratio]);
          }
          return found;
        }"""


def test_text_has_contrast(tab):
    for theme in ("light", "dark"):
        tab.select_option("#theme", theme)
        assert tab.evaluate(POOR_CONTRAST) == []


def test_hostile_transcript_is_shown_as_text(tab, report):
    name = report.tables["utterances"]["utterance"].iloc[0]
    index = int(report.tables["tokens"].index[report.tables["tokens"]["utterance"] == name][0])
    assert tab.evaluate("window.injected") is None
    tab.evaluate(f"document.getElementById('map-without').emit('plotly_click', {{points: [{{pointIndex: {index}}}]}})")
    assert tab.locator("#token-card .transcript").inner_text() == HOSTILE
    assert tab.locator("#token-card .transcript script, #token-card .transcript b").count() == 0
    assert tab.evaluate("window.injected") is None


def test_layers_and_pairs_follow_their_controls(tab):
    before = tab.locator("#layers-table").text_content()
    tab.select_option("#layers-statistic", "net")
    assert tab.locator("#layers-table").text_content() != before
    assert "wav2sem − null: shuffled" in tab.locator("#layers-table").text_content()
    tab.select_option("#layers-statistic", "abx_error")  # exists for the relation "all" only: the others follow
    assert tab.input_value("#layers-relation") == "all"
    assert "0.120" in tab.locator("#layers-table").text_content()
    tab.fill("#pairs-search", "SH IY P")
    assert "of 2 near-homophone pairs" in tab.locator("#pairs-caption").inner_text()


def test_worst_utterance_can_be_heard(tab):
    button = tab.locator("button.listen-to").first
    button.scroll_into_view_if_needed()
    button.click()
    wait_until(tab, "document.getElementById('player').currentTime > 0.05")


def test_prints_light_with_every_section(tab):
    tab.select_option("#theme", "dark")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate("document.getElementById('layers-plot')._fullLayout.paper_bgcolor") == "#fff"
    assert not tab.locator(".controls").first.is_visible() and tab.locator("#provenance").is_visible()
    assert tab.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_a_time_in_the_alignment_is_the_same_time_in_the_clip(chromium, tmp_path):
    """The compressed clip, as the browser decodes it, neither leads nor lags the recording by a sample."""
    samples = np.random.default_rng(0).normal(0, 0.1, 32_000)
    samples = np.convolve(samples, np.hanning(33) / 16, "same")
    soundfile.write(tmp_path / "noise.wav", samples, 16_000)
    base = synthetic_report(encoders=("bundled",), layers=(0,), n_tokens=6, n_utterances=1, n_speakers=1, methods=("umap",))
    table = base.tables["utterances"].assign(audio=str(tmp_path / "noise.wav"))
    clips = make_clips(replace(base, tables={**base.tables, "utterances": table}), tmp_path, table["utterance"])
    page = chromium.new_page()
    decoded = page.evaluate(
        """async (uri) => { const bytes = Uint8Array.from(atob(uri.split(",")[1]), (c) => c.charCodeAt(0));
        const sound = await new OfflineAudioContext(1, 16000, 16000).decodeAudioData(bytes.buffer);
        return Array.from(sound.getChannelData(0)); }""",
        clips.sources[table["utterance"].iloc[0]],
    )
    page.close()
    agreement = np.correlate(np.array(decoded)[6_000:26_000], samples[8_000:24_000], "valid")
    assert len(decoded) == len(samples)
    assert int(agreement.argmax()) == 2_000


def test_clips_beside_the_page_play_too(chromium, report, tmp_path):
    written = write_report(report, tmp_path, formats=(), audio_budget=1000)
    assert len(list((tmp_path / "audio").glob("*.mp3"))) == len(report.tables["utterances"])
    context = chromium.new_context(offline=True)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(written["report.html"].as_uri())
    page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    assert "audio/ beside this file" in page.locator("#map .hint").inner_text()
    page.locator("button.listen-to").first.click()
    wait_until(page, "document.getElementById('player').currentTime > 0.05")
    context.close()
    assert complaints == []


def test_five_thousand_points_stay_usable(chromium, tmp_path, record_property):
    big = synthetic_report(
        encoders=("bundled",), layers=(0, 6, 12), n_tokens=5000, n_utterances=250, n_speakers=20, methods=("umap",)
    )
    page_file = write_report(big, tmp_path, formats=(), audio=False)["report.html"]
    assert page_file.stat().st_size < 15_000_000
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready=yes]", timeout=120_000)
    assert page.evaluate("document.getElementById('map').dataset.points") == "5000"
    drawn = page.evaluate(
        "['without', 'with'].map((s) => document.getElementById('map-' + s).data[0].x.filter((x) => x !== null).length)"
    )
    assert drawn == [5000, 5000]
    page.fill("#map-search", "sheep")
    wait_until(page, "Number(document.getElementById('map').dataset.found) < 1000", timeout=30_000)
    record_property("bytes", page_file.stat().st_size)
    context.close()
