"""The token table: one row per occurrence, in every unit, and what could not become one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.alignment.types import Alignment
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure
from analysis.phonology import TOKEN_COLUMNS, read_token_table, token_table
from analysis.timebase import Interval


def intervals(*entries):
    return tuple(Interval(start, end, label) for start, end, label in entries)


WORDS = intervals((0.1, 0.4, "The"), (0.4, 0.9, "tickle"), (1.2, 1.5, "ship"))
PHONES = intervals(
    (0.1, 0.2, "DH"), (0.2, 0.4, "AH0"),
    (0.4, 0.5, "T"), (0.5, 0.6, "IH1"), (0.6, 0.7, "K"), (0.7, 0.8, "AH0"), (0.8, 0.9, "L"),
    (1.2, 1.3, "SH"), (1.3, 1.4, "IH1"), (1.4, 1.5, "P"),
)  # fmt: skip
ALIGNMENT = Alignment("u1", WORDS, PHONES, 2.0, "test")


def utterance(name="u1", speaker="s1"):
    return Utterance(name, Path(f"{name}.wav"), "The tickle ship.", speaker, 2.0, 16000)


def rows(unit, **options):
    table, failures = token_table([utterance()], [ALIGNMENT], unit, **options)
    assert failures == []
    assert list(table.columns) == list(TOKEN_COLUMNS)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == TOKEN_COLUMNS
    assert table["token"].tolist() == list(range(len(table)))
    assert set(table["unit"]) == {unit} and set(table["utterance"]) == {"u1"} and set(table["speaker"]) == {"s1"}
    return table


def test_syllables():
    table = rows("syllable")
    assert table["type"].tolist() == table["phones"].tolist() == ["DH AH", "T IH", "K AH L", "SH IH P"]
    assert table["word"].tolist() == ["the", "tickle", "tickle", "ship"]
    assert table["word_index"].tolist() == [0, 1, 1, 2]
    assert table["position"].tolist() == [0, 0, 1, 0]
    assert table["n_syllables"].tolist() == [1, 2, 2, 1]
    assert table["stress"].tolist() == [0, 1, 0, 1]
    assert table[["onset", "nucleus", "coda"]].to_numpy().tolist() == [
        ["DH", "AH", ""], ["T", "IH", ""], ["K", "AH", "L"], ["SH", "IH", "P"],
    ]  # fmt: skip
    assert table[["start", "nucleus_start", "coda_start", "end"]].to_numpy().tolist() == [
        [0.1, 0.2, 0.4, 0.4], [0.4, 0.5, 0.6, 0.6], [0.6, 0.7, 0.8, 0.9], [1.2, 1.3, 1.4, 1.5],
    ]  # fmt: skip
    assert table["previous_phone"].tolist() == ["SIL", "AH", "IH", "SIL"]
    assert table["next_phone"].tolist() == ["T", "K", "SIL", "SIL"]


def test_words():
    table = rows("word")
    assert table["type"].tolist() == table["word"].tolist() == ["the", "tickle", "ship"]
    assert table["phones"].tolist() == ["DH AH", "T IH K AH L", "SH IH P"]
    assert table[["start", "nucleus_start", "coda_start", "end"]].to_numpy().tolist() == [
        [0.1, 0.1, 0.4, 0.4], [0.4, 0.4, 0.9, 0.9], [1.2, 1.2, 1.5, 1.5],
    ]  # fmt: skip
    assert table["previous_phone"].tolist() == ["SIL", "AH", "SIL"]
    assert table["next_phone"].tolist() == ["T", "SIL", "SIL"]


def test_phones():
    table = rows("phone")
    assert " ".join(table["type"]) == "DH AH T IH K AH L SH IH P"
    assert table["stress"].tolist() == [-1, 0, -1, 1, -1, 0, -1, -1, 1, -1]
    assert table["position"].tolist() == [0, 1, 0, 1, 2, 3, 4, 0, 1, 2]
    assert table["previous_phone"].tolist() == ["SIL", "DH", "AH", "T", "IH", "K", "AH", "SIL", "SH", "IH"]


def test_utterances():
    table = rows("utterance")
    assert table["type"].tolist() == ["the tickle ship"]
    assert table["phones"].tolist() == ["DH AH T IH K AH L SH IH P"]
    assert (table["start"][0], table["end"][0], table["n_syllables"][0]) == (0.1, 1.5, 4)


def test_ambisyllabic_syllables_share_the_phone_and_look_past_it():
    happy = Alignment(
        "u1", intervals((0.0, 0.4, "happy")),
        intervals((0.0, 0.1, "HH"), (0.1, 0.2, "AE1"), (0.2, 0.3, "P"), (0.3, 0.4, "IY0")), 1.0, "test",
    )  # fmt: skip
    table, failures = token_table([utterance()], [happy], ambisyllabic=True)
    assert failures == [] and table["type"].tolist() == ["HH AE P", "P IY"]
    assert table["next_phone"].tolist() == ["IY", "SIL"] and table["previous_phone"].tolist() == ["SIL", "AE"]


def test_an_empty_corpus_keeps_the_columns():
    table, failures = token_table([], [])
    assert len(table) == 0 and failures == []
    assert {name: str(kind) for name, kind in table.dtypes.items()} == TOKEN_COLUMNS


def test_what_cannot_become_a_token_is_listed_and_the_rest_goes_on():
    alignment = Alignment(
        "u1",
        intervals((0.0, 0.1, "sil"), (0.1, 0.2, "hm"), (0.2, 0.3, "gap"), (0.3, 0.4, "odd"), (0.4, 0.8, "wait"), (0.9, 1.0, "a")),
        intervals((0.1, 0.2, "M"), (0.3, 0.4, "xx"), (0.4, 0.5, "W"), (0.65, 0.7, "EY1"), (0.7, 0.8, "T"), (0.9, 1.0, "AH0")),
        2.0,
        "test",
    )
    table, failures = token_table([utterance()], [alignment])
    assert table["type"].tolist() == ["W EY T", "AH"]
    assert failures == [
        Failure(
            "phonology", "u1", "word 1 'hm' [0.100, 0.200) has no vowel: M.",
            "Such a word has no syllable; use words or phones as the unit, or mend the alignment.",
        ),
        Failure(
            "phonology", "u1", "word 2 'gap' [0.200, 0.300) has no phones.",
            "Align again, or give TextGrids with a phone tier that covers the word.",
        ),
        Failure(
            "phonology", "u1", "word 3 'odd' [0.300, 0.400): phone 'xx' [0.300, 0.400) is not in the inventory arpabet.",
            "Name the inventory that the alignment is written in, or add the phone to the inventory file.",
        ),
        Failure(
            "phonology", "u1", "word 4 'wait' [0.400, 0.800) has a silence of 0.150 s between its phones.",
            "Listen to the word; where the alignment is wrong, align again.", "warning",
        ),
    ]  # fmt: skip
    words, _ = token_table([utterance()], [alignment], "word")
    assert words["type"].tolist() == ["hm", "wait", "a"]


def test_an_alignment_of_another_corpus_is_listed():
    table, failures = token_table([utterance("u2")], [ALIGNMENT])
    assert len(table) == 0
    assert failures == [
        Failure(
            "phonology", "u1", "an alignment has this id, but no utterance has.",
            "Check that the alignments belong to this corpus; TextGrids are named after the audio file.",
        )
    ]  # fmt: skip


def test_unknown_unit_lists_the_valid_ones():
    with pytest.raises(ConfigurationError) as caught:
        token_table([], [], "triphone")
    assert str(caught.value) == "There is no unit 'triphone'; choose one of syllable, word, phone, utterance."


def test_tokens_of_real_alignments(shared_data):
    textgrid = pytest.importorskip("textgrid")
    path = sorted((shared_data / "autovot_1054").glob("*.TextGrid"))[0]
    tiers = {tier.name: tier for tier in textgrid.TextGrid.fromFile(str(path)).tiers}
    words, phones = (
        tuple(Interval(float(i.minTime), float(i.maxTime), i.mark) for i in tiers[name] if i.mark not in ("", "sil"))
        for name in ("words", "phones")
    )
    alignment = Alignment("u1", words, phones, float(tiers["words"].maxTime), "textgrid")
    table, failures = token_table([utterance()], [alignment])
    assert failures == []
    assert " ".join(table["type"]).split() == [phone.label.rstrip("012").upper() for phone in phones]
    assert table["word"].drop_duplicates().tolist() == list(dict.fromkeys(word.label.lower() for word in words))


def token_rows(**changes):
    row = {"token": 0, "utterance": "007", "type": "SH IY P", "stress": 1, "start": 0.5, "nucleus_start": 0.6}
    row |= {"coda_start": 0.75, "end": 0.8, "mine": 3}
    return pd.DataFrame([row, row | {"token": 1, "start": 0.55} | changes])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_stored_token_table_is_read_as_it_was(tmp_path, ending):
    path = tmp_path / f"tokens.{ending}"
    table = token_rows()
    table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False, encoding="utf-8-sig")
    found = read_token_table(path)
    assert found.astype(object).to_dict("records") == table.to_dict("records")
    kinds = {name: TOKEN_COLUMNS[name] for name in found.columns if TOKEN_COLUMNS.get(name, "str") != "str"}
    assert found.dtypes.astype(str)[list(kinds)].to_dict() == kinds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "soon"}, "line 3: start is 'soon', which is no number. Times are seconds from the start of the recording."),
        ({"end": float("nan")}, "line 3: end is '', which is no number. Times are seconds from the start of the recording."),
        ({"end": float("inf")}, "line 3: end is inf, which is no number. Times are seconds from the start of the recording."),
        ({"stress": "x"}, "line 3: stress is 'x', which is no number."),
        (
            {"start": -0.1},
            "line 3: start is -0.1, which is before the recording begins. Times are seconds from the start of the ",
        ),
        ({"end": 0.7}, "line 3: end is 0.7, which is before coda_start. Times are seconds from the start of the recording."),
    ],
)
def test_a_row_of_a_token_table_that_cannot_be_is_named(tmp_path, changes, message):
    path = tmp_path / "tokens.csv"
    token_rows(**changes).to_csv(path, index=False)
    with pytest.raises(ConfigurationError) as raised:
        read_token_table(path)
    assert str(raised.value).startswith(f"{path}, {message}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            b"",
            "{path} cannot be read as a token table: No columns to parse from file. Give a .parquet file, or a CSV file in ",
        ),
        ("a.csv", b"type\n\xe4\n", "{path} cannot be read as a token table: 'utf-8' codec can't decode byte 0xe4"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "{path} cannot be read as a token table: Error tokenizing data."),
        ("a.parquet", b"no parquet", "{path} cannot be read as a token table: Could not open Parquet input source"),
        (
            "a.csv",
            b"path,transcript\n",
            "The token table {path} lacks the columns utterance, type, start, end; it has path, transcript.",
        ),
    ],
)
def test_a_file_that_is_no_token_table_is_told_in_one_message(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        read_token_table(path)
    assert str(raised.value).startswith(message.format(path=path))
    with pytest.raises(ConfigurationError, match=r"There is no token table at nowhere\.csv\."):
        read_token_table("nowhere.csv")
