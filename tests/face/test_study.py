"""The study: a page that asks in a real browser, and an analysis that finds what was planted."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.errors import FaceError
from analysis.face.__main__ import main
from analysis.face.study import Item, analyse, make_study, read_answers, read_items
from analysis.face.study.answers import fleiss_kappa, krippendorff_alpha
from analysis.face.study.ranking import Answer, bradley_terry
from tests.reference import face as oracle

# A one-pixel GIF.
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
EVIL = """</script><script>window.pwned = 1</script><img src=x onerror="window.pwned = 2"> & 'quotes' \u2028"""


def _pairs(folder: Path, n: int = 3) -> Path:
    rows = ["item,method_a,media_a,method_b,media_b,text"]
    for number in range(n):
        for side in "ab":
            (folder / f"{number}{side}.gif").write_bytes(GIF)
        rows.append(f"word{number},FaceFormer,{number}a.gif,FaceFormer+Wav2Sem,{number}b.gif,sheep or ship")
    path = folder / "pairs.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def _answered(study: dict[str, Path], rater: str, prefers, misses: int = 0) -> dict:
    """What the page would save for a rater; ``prefers(item)`` names the preferred method."""
    key = json.loads(study["key"].read_text())
    answers = []
    for identity, entry in key["items"].items():
        chosen = entry["methods"].index(prefers(entry["item"]))
        answers.append(
            {"id": identity, "chosen": chosen, "side": "left" if (chosen + len(answers)) % 2 else "right", "milliseconds": 900}
        )
    for number, (identity, side) in enumerate(key["checks"].items()):
        wrong = {"left": "right", "right": "left"}[side]
        answers.append({"id": identity, "chosen": 0, "side": wrong if number < misses else side, "milliseconds": 900})
    return {"schema": "analysis.face.study.answers", "study": key["study"], "rater": rater, "seed": 1, "answers": answers}


def _saved(folder: Path, documents: list[dict]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"answers_{number}.json" for number in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    return paths


def test_the_page_does_not_name_methods_or_files(tmp_path: Path) -> None:
    assert main(["study", "make", "--pairs", str(_pairs(tmp_path)), "--out", str(tmp_path / "study")]) == 0
    text = (tmp_path / "study" / "page" / "index.html").read_text(encoding="utf-8")
    for secret in ("FaceFormer", "Wav2Sem", "0a.gif", "word0"):
        assert secret not in text
    assert len(list((tmp_path / "study" / "page" / "media").iterdir())) == 6
    assert not (tmp_path / "study" / "page" / "key.json").exists()
    assert "http:" not in text and "https:" not in text
    assert """content="default-src 'none'; script-src 'unsafe-inline';""" in text


def _with_sound(folder: Path, cells: str) -> Path:
    """Pairs whose sound is a part of a recording of two channels: 1 s at 0.25, then 1 s at 0.5; the second channel is its negative."""
    left = np.repeat([0.25, 0.5], 8000)
    soundfile.write(folder / "long.wav", np.stack([left, -0.5 * left], axis=1), 8000)
    lines = _pairs(folder, n=1).read_text(encoding="utf-8").splitlines()
    path = folder / "sound.csv"
    path.write_text(f"{lines[0]},audio,start,end,audio_channel\n{lines[1]},{cells}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("long.wav,0.75,1.5,0", np.repeat([0.25, 0.5], [2000, 4000])),
        ("long.wav,1.5,,1", np.full(4000, -0.25)),
        ("long.wav,,0.5,", np.full(4000, 0.0625)),
    ],
)
def test_of_a_part_of_a_recording_nothing_else_is_published(tmp_path: Path, cells, expected) -> None:
    study = make_study(read_items(_with_sound(tmp_path, cells)), tmp_path / "study")
    [sound] = (study["page"].parent / "media").glob("*.wav")
    samples, rate = soundfile.read(sound)
    assert rate == 8000 and samples.ndim == 1
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)
    assert f"media/{sound.name}" in study["page"].read_text(encoding="utf-8")


def test_a_whole_recording_is_copied_as_it_is(tmp_path: Path) -> None:
    study = make_study(read_items(_with_sound(tmp_path, "long.wav,,,")), tmp_path / "study")
    [sound] = (study["page"].parent / "media").glob("*.wav")
    assert sound.read_bytes() == (tmp_path / "long.wav").read_bytes()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (",0.5,1,", "start names a part of the audio, and there is none."),
        ("long.wav,1,1,", "the part from 1 to 1 s does not lie in {audio}, which lasts 2.000 s."),
        ("long.wav,1.5,3,", "the part from 1.5 to 3 s does not lie in {audio}, which lasts 2.000 s."),
        ("long.wav,nan,1,", "the part from nan to 1 s does not lie in {audio}, which lasts 2.000 s."),
        ("long.wav,half,1,", "start and end must be seconds, and audio_channel a whole number from 0."),
        ("long.wav,,,2", "{audio} has no channel 2; it has 2, counted from 0."),
    ],
)
def test_parts_that_are_none_are_named(tmp_path: Path, cells, message) -> None:
    path = _with_sound(tmp_path, cells)
    with pytest.raises(FaceError) as caught:
        read_items(path)
    assert str(caught.value) == f"{path}, line 2: {message.format(audio=tmp_path / 'long.wav')}"


def test_text_cannot_leave_the_script_element(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(GIF)
    item = Item("x", "A", tmp_path / "a.gif", "B", tmp_path / "a.gif", text=EVIL)
    page = make_study([item], tmp_path / "study", title=EVIL, question=EVIL)["page"].read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    assert "<img src=x" not in page
    embedded = page.partition('id="study">')[2].partition("</script>")[0]
    assert "\u2028" not in embedded
    assert json.loads(embedded)["question"] == EVIL


def test_finds_a_planted_preference_and_leaves_out_the_inattentive(tmp_path: Path, capsys) -> None:
    study = make_study(read_items(_pairs(tmp_path, n=20)), tmp_path / "study", attention_checks=3)
    rng = np.random.default_rng(0)
    methods = ("FaceFormer", "FaceFormer+Wav2Sem")
    documents = [_answered(study, f"r{n}", lambda item: methods[rng.random() < 0.75]) for n in range(12)]
    documents.append(_answered(study, "careless", lambda item: methods[0], misses=1))
    documents.append({**documents[0], "rater": "r0"})
    files = _saved(tmp_path / "study" / "answers", documents)
    assert main(["study", "analyse", *map(str, files), "--json", str(tmp_path / "result.json")]) == 0  # the key is found above
    result = json.loads((tmp_path / "result.json").read_text())
    (row,) = result["preferences"]
    assert (row["method"], row["other"], row["n_answers"], row["n_raters"], row["n_items"]) == (
        methods[1],
        methods[0],
        240,
        12,
        20,
    )
    assert row["exact_low"] < 0.75 < row["exact_high"]
    assert row["crossed_low"] < 0.75 < row["crossed_high"]
    assert row["exact_low"] > 0.5 < row["crossed_low"]
    assert row["p_exact"] < 1e-6
    assert row["p_crossed"] <= 2 * 2 / 2001
    assert row["p_raters_items_fixed"] < 0.005
    assert abs(row["krippendorff_alpha"]) < 0.1  # every answer was drawn alone: nothing to agree on
    assert len(result["items"]) == 20
    assert [(f["item"], f["reason"]) for f in result["excluded"]] == [
        ("careless", "missed 1 attention checks where 0 are allowed"),
        ("answers_13.json", "rater r0 has already answered in answers_0.json; the first file counts"),
    ]
    printed = capsys.readouterr().out
    assert printed.startswith("FaceFormer+Wav2Sem preferred to FaceFormer: ")
    assert printed.splitlines()[1].startswith("  other raters and other items: 95% [")
    assert "left out: careless: missed 1 attention checks" in printed


def test_no_preference_is_found_where_none_is_planted() -> None:
    """The crossed interval covers one half about as often as it says, also where raters and items differ."""
    covered = exact = rejected = 0
    n_studies = 100
    for seed in range(n_studies):
        rng = np.random.default_rng(seed)
        raters, items = rng.normal(scale=0.8, size=15), rng.normal(scale=0.8, size=15)
        answers = []
        for (r, rater), (i, item) in itertools.product(enumerate(raters), enumerate(items)):
            liked = rng.random() < 1 / (1 + np.exp(-rater - item))
            answers.append(Answer(f"r{r}", f"i{i}", *(("A", "B") if liked else ("B", "A")), "left", 0))
        row = analyse(answers, reference="A", n_resamples=500).preferences[0]
        covered += row.crossed_low <= 0.5 <= row.crossed_high
        rejected += row.p_crossed < 0.05
        exact += row.exact_low <= 0.5 <= row.exact_high
        assert (row.p_crossed < 0.045) <= (not row.crossed_low <= 0.5 <= row.crossed_high) <= (row.p_crossed < 0.055)
    assert covered / n_studies > 0.9
    assert rejected / n_studies < 0.1
    assert exact / n_studies < 0.7  # taking answers as independent claims far too much


def test_methods_are_ranked_and_intervals_hold_planted_strengths() -> None:
    """Three methods, each pair on items of its own; raters differ in how much they see."""
    planted = {"A": 0.8, "B": 0.0, "C": -0.8}
    rng = np.random.default_rng(0)
    held, n = np.zeros(3), 60
    for seed in range(n):
        answers = []
        for rater in range(15):
            sees = np.exp(0.3 * rng.normal())
            for number, (one, two) in enumerate(itertools.combinations(planted, 2)):
                for item in range(8):
                    first = rng.random() < 1 / (1 + np.exp(-sees * (planted[one] - planted[two])))
                    answers.append(Answer(f"r{rater}", f"i{number}{item}", *((one, two) if first else (two, one)), "left", 0))
        result = analyse(answers, n_resamples=300, seed=seed)
        assert [row.method for row in result.ranking] == ["A", "B", "C"]
        held += [row.low <= planted[row.method] <= row.high for row in sorted(result.ranking, key=lambda row: row.method)]
    assert (held / n > 0.88).all()
    assert sum(row.strength for row in result.ranking) == pytest.approx(0, abs=1e-9)
    text = result.to_text()
    assert "all methods, Bradley-Terry log-odds" in text and json.loads(result.to_json())["ranking"][0]["method"] == "A"


def test_strengths_are_the_maximum_of_the_likelihood() -> None:
    from scipy.optimize import minimize

    wins = np.array([[0, 7, 9], [3, 0, 8], [1, 2, 0.0]])
    padded = wins + 0.5 * (1 - np.eye(3))

    def loss(free: np.ndarray) -> float:
        s = np.array([*free, -free.sum()])
        return float((padded * np.log1p(np.exp(s[None, :] - s[:, None]))).sum())

    best = minimize(loss, np.zeros(2), tol=1e-12).x
    np.testing.assert_allclose(bradley_terry(wins), [*best, -best.sum()], atol=1e-5)


def test_methods_that_nothing_links_are_not_ranked() -> None:
    answers = [Answer("r", "i", "A", "B", "left", 0), Answer("r", "j", "C", "D", "left", 0)]
    assert analyse(answers).ranking == ()
    assert analyse(answers[:1]).ranking == ()  # two methods: the preference says it


def test_exact_values() -> None:
    answers = [Answer(f"r{n}", "i", *(("A", "B") if n < 9 else ("B", "A")), "left", 0) for n in range(10)]
    row = analyse(answers, reference="A").preferences[0]
    assert row.share == 0.9
    assert row.p_exact == pytest.approx(2 * 11 / 1024)
    assert row.exact_low == pytest.approx(0.5549839, abs=1e-6)  # Clopper and Pearson's table
    assert row.exact_high == pytest.approx(0.9974714, abs=1e-6)
    assert row.p_raters_items_fixed == pytest.approx(2 * 11 / 1024)
    assert row.weak


def test_agreement_equals_the_loops_and_its_ends() -> None:
    rng = np.random.default_rng(1)
    votes = [["A" if rng.random() < p else "B" for _ in range(6)] for p in (0.9, 0.2, 0.5, 0.7)]
    counts = [[row.count("A"), row.count("B")] for row in votes]
    assert fleiss_kappa(votes) == pytest.approx(oracle.fleiss(counts))
    assert krippendorff_alpha(votes) == pytest.approx(oracle.krippendorff(votes))
    uneven = [row[:n] for row, n in zip(votes, (6, 3, 1, 4), strict=True)]
    assert krippendorff_alpha(uneven) == pytest.approx(oracle.krippendorff(uneven))
    assert np.isnan(fleiss_kappa(uneven))
    assert fleiss_kappa([["A", "A"], ["B", "B"]]) == krippendorff_alpha([["A", "A"], ["B", "B"]]) == 1
    assert krippendorff_alpha([["A", "B"], ["B", "A"]]) < 0
    assert np.isnan(krippendorff_alpha([["A", "A"]]))
    # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", binary data of two observers: alpha = 0.095
    published = krippendorff_alpha([list(pair) for pair in zip("0100000000", "1110010010", strict=True)])
    assert published == pytest.approx(0.095, abs=5e-4)


def test_bad_answers_and_bad_pairs(tmp_path: Path) -> None:
    study = make_study(read_items(_pairs(tmp_path)), tmp_path / "study")
    good = _answered(study, "r0", lambda item: "FaceFormer")
    bad = [
        {**good, "rater": "r1", "study": "other"},
        {"hello": 1},
        {**good, "rater": "r2", "answers": [{"id": "i9999", "chosen": 0, "side": "left"}]},
        {**good, "rater": "r3", "answers": [*good["answers"], good["answers"][0]]},
        {**good, "rater": "r4", "answers": [{"id": "i0000", "chosen": 5, "side": "left"}]},
    ]
    files = _saved(tmp_path / "answers", [good, *bad])
    (tmp_path / "answers" / "cut.json").write_text('{"schema":')
    answers, excluded = read_answers([*files, tmp_path / "answers" / "cut.json", tmp_path / "nowhere.json"], study["key"])
    # one bad answer leaves out that answer; who answered nothing else missed the attention checks too
    n = len([one for one in answers if one.rater == "r0"])
    assert {rater: sum(one.rater == rater for one in answers) for rater in ("r0", "r3")} == {"r0": n, "r3": n - 1}
    assert {answer.rater for answer in answers} == {"r0", "r3"}
    reasons = {failure.item: failure.reason for failure in excluded}
    assert reasons["answers_1.json"].startswith("it answers the study other, and the key is of ")
    assert reasons["answers_2.json"] == "it holds no answers of a study page"
    assert reasons["answers_3.json, r2"] == "it answers the item i9999, which the key does not hold"
    assert reasons["answers_4.json, r3"] == f"it answers the item {good['answers'][0]['id']} twice"
    assert reasons["answers_5.json, r4"] == "answer {'id': 'i0000', 'chosen': 5, 'side': 'left'} is unreadable"
    assert reasons["r2"] == reasons["r4"] == "missed 2 attention checks where 0 are allowed"
    assert " is no JSON: line 1, column " in reasons["cut.json"] and reasons["cut.json"].endswith(". Ask the rater for it again.")
    assert reasons["nowhere.json"] == "it cannot be read (No such file or directory)"
    with pytest.raises(FaceError, match="There is no answer to analyse"):
        analyse([])
    with pytest.raises(FaceError, match=r"There is no key .*nowhere\.json"):
        read_answers(files, tmp_path / "nowhere.json")

    def message(text: str) -> str:
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(FaceError) as error:
            read_items(tmp_path / "bad.csv")
        return str(error.value).replace(f"{tmp_path}/", "")

    head = "item,method_a,media_a,method_b,media_b\n"
    assert message("item,media_a\n") == (
        "bad.csv has no column method_a, method_b, media_b. Expected item, method_a, media_a, method_b, media_b[, text, audio, start, end, audio_channel]."
    )
    assert message(head) == "bad.csv holds no comparison."
    assert message(head + "x,A,0a.gif,B,nowhere.gif\n") == "bad.csv, line 2: there is no file nowhere.gif (column media_b)."
    assert message(head + "x,A,0a.gif,A,0b.gif\n") == "bad.csv, line 2: both sides are of method 'A'. Compare two methods."
    twice = message(head + "x,A,0a.gif,B,0b.gif\nx,A,1a.gif,B,1b.gif\n")
    assert twice == "bad.csv, line 3: item 'x' stands twice. Name every comparison apart."
    assert "is no video or animation a browser shows" in message(head + "x,A,pairs.csv,B,0b.gif\n")


@pytest.mark.parametrize("way", ["keys", "clicks"])
def test_the_page_in_a_browser(tmp_path: Path, chromium, way: str) -> None:
    """Answer the page as a rater who prefers one method, then analyse what it saved; hostile text runs nowhere."""
    items = read_items(_pairs(tmp_path, n=4))
    items.append(Item("evil", "FaceFormer", tmp_path / "0a.gif", "FaceFormer+Wav2Sem", tmp_path / "0b.gif", text=EVIL))
    study = make_study(items, tmp_path / "study", question=EVIL, attention_checks=2)
    key = json.loads(study["key"].read_text())
    page = chromium.new_page(accept_downloads=True)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: problems.append(request.url) if not request.url.startswith(("file:", "blob:", "data:")) else None,
    )
    page.goto(study["page"].as_uri() + "?rater=alice&seed=7")
    trials = {trial["id"]: trial for trial in json.loads(page.locator("#study").text_content())["trials"]}
    by_media = {path: (identity, index) for identity in key["items"] for index, path in enumerate(trials[identity]["media"])}
    page.keyboard.press("Enter")  # the start button has the focus
    for _ in range(len(trials)):
        instruction = page.locator("#instruction").text_content()
        source = page.locator("#left .medium img").get_attribute("src").rpartition("/page/")[2] or None
        source = source or page.locator("#left .medium img").get_attribute("src")
        if instruction:
            side = "left" if "left" in instruction else "right"
        else:
            identity, index = by_media[source]
            side = "left" if "+" in key["items"][identity]["methods"][index] else "right"
        if way == "keys":
            page.keyboard.press("ArrowLeft" if side == "left" else "ArrowRight")
        else:
            page.click(f"#{side} button")
    with page.expect_download() as download:
        page.click("#download")
    saved = tmp_path / "study" / download.value.suggested_filename
    download.value.save_as(saved)
    assert page.evaluate("window.pwned") is None
    page.close()
    assert problems == []
    document = json.loads(saved.read_text())
    assert (document["rater"], document["seed"], len(document["answers"])) == ("alice", 7, 7)
    assert {answer["side"] for answer in document["answers"]} == {"left", "right"}
    answers, excluded = read_answers([saved], study["key"])
    assert excluded == []
    row = analyse(answers).preferences[0]
    assert (row.method, row.n_preferred, row.n_answers) == ("FaceFormer+Wav2Sem", 5, 5)
