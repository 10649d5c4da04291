"""The command line: what it prints, what it writes, how it fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from analysis.phonology import load_pairs
from analysis.phonology.__main__ import main


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.dict"
    path.write_text(
        "sheep SH IY1 P\nship SH IH1 P\nplays P L EY1 Z\nblaze B L EY1 Z\nblays B L EY1 Z\nto T UW1\nto T AH0\n", encoding="utf-8"
    )
    return path


def test_counts_and_pairs_of_a_dictionary(own, tmp_path, capsys):
    out = tmp_path / "new" / "pairs.tsv"
    assert main(["pairs", "--lexicon", str(own), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "own: 7 pronunciations of 6 words, 6 distinct without stress" in printed
    assert printed.count("3   of them within the threshold: 3") == 1
    rows = dict(
        line.rsplit(None, 1)
        for line in printed.splitlines()
        if line.startswith("  ") and line.split()[-1].isdigit() and "minimal" not in line
    )
    assert {name.strip(): int(count) for name, count in rows.items() if "in nothing" not in name} == {
        "homophone": 1, "near-homophone": 3, "unrelated": 16, "all": 20, "voicing": 2, "vowel": 1,
    }  # fmt: skip
    assert printed.endswith(f"4 pairs written to {out}\n")
    assert out.read_text(encoding="utf-8").startswith("# Pairs of own; visemes: mpeg4.\ntype_a\ttype_b\t")
    assert load_pairs(out)[["type_a", "type_b"]].to_numpy().tolist() == [
        ["blays", "blaze"], ["blays", "plays"], ["blaze", "plays"], ["sheep", "ship"],
    ]  # fmt: skip


@pytest.fixture
def corpus(monkeypatch, tmp_path):
    """A corpus of transcripts without audio, as the command opens it."""
    from pathlib import Path

    from analysis.corpus.utterance import Utterance
    from analysis.errors import Failure

    texts = ["The sheep saw a ship.", "Sheep! Ship!", "A tickle, a pickle; shxxp.", "The pickle ship and the sheep tickle."]
    items = [Utterance(f"u{i}", Path("x.wav"), text, "s", 1.0, 16000) for i, text in enumerate(texts)]
    items.append(Failure("corpus", "broken.wav", "no"))
    monkeypatch.setattr("analysis.corpus.iter_corpus", lambda spec: iter(items))
    return str(tmp_path / "speech")


def test_pairs_of_a_corpus(corpus, tmp_path, capsys):
    out = tmp_path / "pairs.parquet"
    assert main(["pairs", "--corpus", corpus, "--min-tokens", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "19 words said, 9 different, 1 of them not in cmudict (shxxp)" in printed
    assert "6 words said at least 2 times; 2 pairs:" in printed
    table = load_pairs(out)
    assert table[["type_a", "type_b", "edit_class"]].to_numpy().tolist() == [
        ["pickle", "tickle", "place"],
        ["sheep", "ship", "vowel"],
    ]
    assert main(["pairs", "--corpus", corpus, "--min-tokens", "3"]) == 0
    assert "sheep" in (printed := capsys.readouterr().out) and "pickle" not in printed
    assert (
        main(["pairs", "--corpus", corpus, "--min-tokens", "2", "--edit-classes", "place", "--min-viseme-distance", "0.1"]) == 0
    )
    assert "1 pairs:" in capsys.readouterr().out


def test_syllable_pairs_of_a_corpus(corpus, capsys):
    assert (
        main(["pairs", "--corpus", corpus, "--min-tokens", "2", "--unit", "syllable", "--relations", "near_homophone,unrelated"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "SH IH P" in printed and "SH IY P" in printed and "unrelated" in printed


def test_pronounce_and_syllabify(capsys):
    assert main(["pronounce", "tickle"]) == 0
    assert capsys.readouterr().out == (
        "tickle\n  phones    T IH1 K AH0 L\n  ipa       t ɪ k ʌ l\n  x-sampa   t I k V l\n  visemes   4 12 5 10 8  (mpeg4)\n"
        "  syllables T IH1 . K AH0 L\n"
    )
    assert main(["syllabify", "to", "P L IY1 D IH0 NG"]) == 0
    assert capsys.readouterr().out == "to\tT UW1\nto\tT IH0\nto\tT AH0\nP L IY1 D IH0 NG\tP L IY1 . D IH0 NG\n"
    assert main(["syllabify", "--lexicon", "mandarin", "大门"]) == 0
    assert capsys.readouterr().out == "大门\tt a ˥˩ . m ə n ˧˥\n"


def test_check_syllables_prints_the_agreement(tmp_path, capsys):
    isle = tmp_path / "isle.txt"
    isle.write_text("tickle(nn,vb) # t ˈɪ . k l̩ #\nmister(nn) # m ˈɪ s . t ɚ #\n", encoding="utf-8")
    assert main(["check-syllables", "--isle", str(isle), "--festival", str(isle)]) == 2
    assert capsys.readouterr().err == (
        "error: Festival cmudict-0.4 holds no word that could be compared. Is it the file that was meant?\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.phonology.agreement.find_festival", lambda: None)
        assert main(["check-syllables", "--isle", str(isle)]) == 0
        printed = capsys.readouterr().out
        assert "ISLEX                         2     100.00%          50.00%            50.00%      50.00%" in printed
        patch.setattr("analysis.phonology.agreement.find_isle", lambda: None)
        assert main(["check-syllables"]) == 2
    assert capsys.readouterr().err == (
        "error: There is no syllabified lexicon to compare with. Install one: `pip install pysle==4.0.2` (ISLEX) or "
        "`apt-get install festlex-cmu`, or name a file with --isle or --festival.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["syllabify", "shxxp"],
            "error: 'shxxp' is not in cmudict. Give its phones in quotation marks, or another --lexicon.\n",
        ),
        (["syllabify", "S T"], "error: S T has no phone that carries a syllable.\n"),
        (
            ["pairs", "--lexicon", "celex"],
            "error: There is no lexicon 'celex'. Choose one of cmudict, mandarin, or give a file.\n",
        ),
        (
            ["pairs", "--min-tokens", "0"],
            "error: --min-tokens is 0; a type is said at least once, so give 1 or more.\n",
        ),
        (
            ["pairs", "--costs", "features"],
            "error: --costs features compares every pair in full, which a whole dictionary is too large for. Add --corpus.\n",
        ),
        (
            ["pairs", "--unit", "syllable"],
            "error: --unit syllable needs --corpus: a dictionary does not say how often a syllable is said.\n",
        ),
        (
            ["pairs", "--edit-classes", "voicing,voice"],
            "error: There is no edit class 'voice'; choose among voicing, aspiration, place, manner, vowel, tone, insertion, other.\n",
        ),
        (
            ["pairs", "--out", "pairs.xlsx"],
            "error: A pair table is written as .tsv, .csv or .parquet, not as .xlsx: pairs.xlsx.\n",
        ),
        (
            ["pairs", "--inventory", "klingon"],
            "error: There is no inventory 'klingon'. Choose one of arpabet, buckeye, english_ipa, english_mfa, english_us_arpa, "
            "english_us_mfa, ipa, mandarin, sampa, timit, xsampa, or give a file.\n",
        ),
    ],
)
def test_what_cannot_be_met_ends_with_two(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == message and captured.out == ""


def test_help_needs_nothing_heavy():
    code = (
        "import sys, analysis.phonology.__main__ as m\n"
        "try:\n    m.main(['pairs', '--help'])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "print(code, sorted({'pandas', 'torch', 'rapidfuzz', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_pronounce_and_syllabify_take_an_inventory(tmp_path, capsys):
    inventory = tmp_path / "own.tsv"
    inventory.write_text("symbol\tipa\tkind\nf\tf\tconsonant\n2\tø\tvowel\n", encoding="utf-8")
    own = tmp_path / "own.dict"
    own.write_text("feu\tf 2\n", encoding="utf-8")
    assert main(["pronounce", "feu", "--lexicon", str(own), "--inventory", str(inventory)]) == 0
    assert capsys.readouterr().out == "feu\n  phones    f 2\n  ipa       f ø\n  syllables f 2\n"
    assert main(["syllabify", "feu", "f 2 f 2", "--lexicon", str(own), "--inventory", str(inventory)]) == 0
    assert capsys.readouterr().out == "feu\tf 2\nf 2 f 2\tf 2 . f 2\n"
    assert main(["syllabify", "S i p", "--inventory", "xsampa"]) == 0
    assert capsys.readouterr().out == "S i p\tSH IY P\n"
