"""Inventories: notations, stress, contrasts, features, visemes."""

from __future__ import annotations

import csv
import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import LexiconError
from analysis.phonology import lip_features, load_inventory, load_visemes, segment_features, viseme_maps
from analysis.phonology.features import feature_names
from analysis.phonology.visemes import lip_distances

ARPABET = load_inventory("arpabet")
CMU = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
)  # the 39 phones of CMUdict


@pytest.mark.parametrize(
    ("inventory", "label", "symbol", "stress"),
    [
        ("arpabet", "IY1", "IY", 1),
        ("arpabet", "iy0", "IY", 0),
        ("arpabet", "sh", "SH", -1),
        ("ipa", "iː", "IY", -1),
        ("ipa", "ˈiː", "IY", 1),
        ("ipa", "ˌaɪ", "AY", 2),
        ("ipa", "t͡ʃ", "CH", -1),
        ("english_mfa", "tʃ", "CH", -1),
        ("english_mfa", "pʰ", "P", -1),
        ("english_mfa", "ɫ̩", "EL", -1),
        ("english_mfa", "ɾ̃", "NX", -1),
        ("english_us_arpa", "AH0", "AH", 0),
        ("xsampa", "{", "AE", -1),
        ("xsampa", "3`", "ER", -1),
        ("mandarin", "ʈʂʰ", "ʈʂʰ", -1),
        ("mandarin", "˨˩˦", "˨˩˦", -1),
    ],
)
def test_labels_are_read_in_every_notation(inventory, label, symbol, stress):
    assert load_inventory(inventory).split(label) == (symbol, stress)


def test_every_symbol_survives_each_notation():
    for symbol in ARPABET.phones:
        assert ARPABET.split(symbol) == (symbol, -1)
        for notation, inventory in (("ipa", "ipa"), ("xsampa", "xsampa")):
            (written,) = ARPABET.written((symbol,), notation)
            back = load_inventory(inventory).split(written)[0]
            # the English IPA of aligners does not tell reduced vowels from full ones
            assert back == {"AX": "AH", "AXR": "ER", "UX": "UW"}.get(symbol, symbol) if notation == "ipa" else back == symbol


def test_nuclei_are_vowels_and_syllabic_consonants():
    carriers = {symbol for symbol in ARPABET.phones if ARPABET.carries_syllable(symbol)}
    assert carriers == set("AA AE AH AO AW AX AXR AY EH ER EY IH IX IY OW OY UH UW UX EL EM EN ENG".split())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("P", "B", ("voicing", "voicing")),
        ("F", "V", ("voicing", "voicing")),
        ("P", "T", ("place", "place")),
        ("T", "K", ("place", "place")),
        ("TH", "S", ("place", "place")),
        ("B", "M", ("manner", "manner")),
        ("D", "Z", ("manner", "manner")),
        ("P", "Z", ("other", "voicing+place+manner")),
        ("IY", "IH", ("vowel", "length")),
        ("IH", "EH", ("vowel", "height")),
        ("EH", "AE", ("vowel", "height")),
        ("AA", "AO", ("vowel", "height+rounding")),
        ("UW", "UH", ("vowel", "length")),
        ("IY", "UW", ("vowel", "backness+rounding")),
        ("P", "IY", ("other", "consonant/vowel")),
        ("L", "EL", ("other", "")),
    ],
)
def test_contrasts_are_named_by_what_differs(a, b, expected):
    assert ARPABET.contrast(a, b) == expected
    assert ARPABET.contrast(b, a) == expected


def test_feature_distances_are_a_metric_of_sounds():
    index, distances = ARPABET.feature_distances
    assert distances.shape == (len(ARPABET.phones),) * 2
    assert np.array_equal(distances, distances.T) and np.all(np.diag(distances) == 0)
    assert distances.min() >= 0.0 and distances.max() == 1.0
    by = lambda a, b: distances[index[a], index[b]]  # noqa: E731
    assert by("P", "B") < by("P", "T") < by("P", "IY")
    assert by("IY", "IH") < by("IY", "AA")
    full = distances[~np.eye(len(distances), dtype=bool)]
    assert 0.7 < full.mean() < 1.0


def test_a_diphthong_lies_between_its_parts():
    assert np.allclose(segment_features("aɪ"), (segment_features("a") + segment_features("ɪ")) / 2)
    assert segment_features("ɝ").shape == (24,) == (len(feature_names()),)


@pytest.mark.skipif(importlib.util.find_spec("panphon") is None, reason="PanPhon is not installed")
def test_features_are_those_of_panphon():
    source = Path(importlib.util.find_spec("panphon").origin).parent / "data" / "ipa_all.csv"
    with source.open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        theirs = {unicodedata.normalize("NFD", row["ipa"]).replace("\u0361", ""): row for row in reader}
    value = {"+": 1.0, "-": -1.0, "0": 0.0}
    for name in ("arpabet", "mandarin"):
        for phone in load_inventory(name).phones.values():
            ipa = unicodedata.normalize("NFD", phone.ipa).replace("\u0361", "")
            if ipa in theirs:
                assert segment_features(phone.ipa).tolist() == [value[theirs[ipa][feature]] for feature in feature_names()]


def test_viseme_maps_cover_the_inventory_and_have_the_published_number_of_classes():
    sizes = {"preston_blair": 10, "jeffers_barley": 12, "neti": 13, "lee_yook": 14, "mpeg4": 15, "microsoft": 22}
    assert viseme_maps() == sorted(sizes)
    for name, size in sizes.items():
        classes = load_visemes(name)
        assert set(classes) == {*ARPABET.phones, "SIL"}
        assert len(set(classes.values())) == size
        assert len({classes[phone] for phone in "P B M".split()}) == 1, "a closed mouth looks the same for all three"
        assert classes["P"] not in (classes["T"], classes["F"])


def test_lips_show_rounding_opening_and_closure():
    lips = lip_features()
    assert set(lips) == {*ARPABET.phones, "SIL"}
    assert all(0 <= value <= 1 for features in lips.values() for value in features)
    assert all(lips[phone][2] == 1 for phone in "P B M".split()) and all(lips[phone][2] == 0 for phone in "T IY AA".split())
    assert lips["UW"][0] > lips["IY"][0] and lips["AA"][1] > lips["IY"][1]
    index, distances = lip_distances()
    assert distances[index["P"], index["B"]] == 0 and distances[index["P"], index["T"]] == 1
    assert set(CMU) <= set(index)


def test_unknown_phone_says_what_there_is():
    with pytest.raises(LexiconError) as caught:
        load_inventory("mandarin").split("TH")
    assert str(caught.value) == (
        "Phone 'TH' is not in the inventory mandarin, which has p pʰ t tʰ k kʰ ts tsʰ ʈʂ ʈʂʰ tɕ tɕʰ f s ʂ ɕ x m n ŋ l ɻ j w ɥ i "
        "y u ɤ o ə e a ai ei au ou ɹ̩ ɻ̩ ˥ ˧˥ ˨˩˦ ˥˩. Was the alignment made with another phone set? Name its inventory, or add "
        "the phone to the inventory file."
    )


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(LexiconError) as caught:
        load_inventory("klingon")
    assert str(caught.value) == (
        "There is no inventory 'klingon'. Choose one of arpabet, buckeye, english_ipa, english_mfa, english_us_arpa, "
        "english_us_mfa, ipa, mandarin, sampa, timit, xsampa, or give a file."
    )
    with pytest.raises(LexiconError) as caught:
        load_visemes("disney")
    assert str(caught.value) == (
        "There is no viseme map 'disney'. Choose one of jeffers_barley, lee_yook, microsoft, mpeg4, neti, preston_blair, or give "
        "a file."
    )
    with pytest.raises(LexiconError) as caught:
        ARPABET.written(("P",), "kirshenbaum")
    assert str(caught.value) == "There is no notation 'kirshenbaum'; choose ipa or xsampa."
    with pytest.raises(LexiconError) as caught:
        segment_features("p漢")
    assert str(caught.value) == (
        "No articulatory features are known for '漢' in 'p漢'. Write the phone in IPA as PanPhon does, or add a row to "
        "features/panphon.tsv."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path} is empty; a header line with the columns symbol was expected."),
        ("symbol\tipa\tkind\n", "{path} describes no phone."),
        ("name\tipa\nx\tx\n", "{path} has the columns name, ipa; missing: symbol. Columns are separated by tabs."),
        ("symbol\tipa\nx\tx\n", "{path} has the columns symbol, ipa; missing: kind. Columns are separated by tabs."),
        ("symbol\tipa\tkind\nx\tx\n", "{path}, line 2: 2 cells where the header has 3: 'x\\tx'."),
        (
            "symbol\tipa\tkind\nx\tx\tclick\n",
            "{path}: phone 'x' is of kind 'click'; choose vowel, syllabic, consonant or tone.",
        ),
        (
            "symbol\tipa\tkind\nx\tx\tconsonant\nx\tx\tconsonant\n",
            "{path} describes phone 'x' twice. Remove one of the two rows.",
        ),
        ("symbol\tarpabet\nx\tXX\n", "{path}: 'x' stands for 'XX', which is not an ARPAbet phone."),
    ],
)
def test_bad_inventory_files(tmp_path, text, message):
    path = tmp_path / "own.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LexiconError) as caught:
        load_inventory(path)
    assert str(caught.value) == message.format(path=path)


def test_bad_viseme_files_and_bytes(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("phone\tviseme\nP\t1\nP\t2\n", encoding="utf-8")
    with pytest.raises(LexiconError) as caught:
        load_visemes(path)
    assert str(caught.value) == f"{path}: phone 'P' stands twice. Remove one of the two rows."
    other = tmp_path / "latin.tsv"
    other.write_bytes("phone\tviseme\nP\té\n".encode("latin-1"))
    with pytest.raises(LexiconError) as caught:
        load_visemes(other)
    assert str(caught.value) == f"{other} is not UTF-8 text (invalid continuation byte at byte 15). Save it as UTF-8."


def test_an_inventory_of_ones_own(tmp_path):
    path = tmp_path / "toki.tsv"
    path.write_text(
        "# vowels first\nsymbol\tipa\tkind\tplace\na\ta\tvowel\t\np\tp\tconsonant\tlips\nt\tt\tconsonant\tteeth\n",
        encoding="utf-8",
    )
    inventory = load_inventory(path)
    assert inventory.contrast("p", "t") == ("place", "place")
    assert inventory.feature_distances[1].shape == (3, 3)
