"""The five measures on alignments whose values are known, their limits one by one, and what is left out of a run."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from analysis.alignment import Alignment, quality_table
from analysis.alignment.quality import QualityLimits
from analysis.errors import ConfigurationError
from analysis.timebase import Interval

OFF = QualityLimits(**{field.name: False if field.name == "scores" else None for field in fields(QualityLimits)})


def spoken(name, lengths, *, duration=None, start=0.0, confidence=-1.0, label="S"):
    phones, position = [], start
    for length in lengths:
        phones.append(Interval(round(position, 6), round(position + length, 6), label))
        position += length
    word = (Interval(phones[0].start, phones[-1].end, "w"),) if phones else ()
    return Alignment(name, word, tuple(phones), duration or position, "test", confidence)


def only(**limits):
    from dataclasses import replace

    return replace(OFF, **limits)


def test_every_measure_has_its_value():
    ten = spoken("ten", [0.1] * 8 + [0.03, 0.03], duration=2.0, confidence=-1.5)
    row = quality_table([ten], limits=OFF).iloc[0]
    assert row["speech_rate"] == pytest.approx(10 / 0.86)
    assert row["shortest_run"] == 2
    assert row["silence_share"] == pytest.approx(1 - 0.86 / 2.0)
    assert row["score_per_frame"] == -1.5 and math.isnan(row["score_z"]), "five utterances make a distribution"
    logs = [math.log(0.1)] * 8 + [math.log(0.03)] * 2
    mean = sum(logs) / 10
    deviation = math.sqrt(sum((value - mean) ** 2 for value in logs) / 9)
    assert row["largest_z"] == pytest.approx((math.log(0.03) - mean) / deviation)
    assert row["longest_phone"] == "'S' [0.800, 0.830)"


@pytest.mark.parametrize(
    ("bad", "limits", "reason"),
    [
        (spoken("bad", [0.5] * 5), only(slowest=4.0), "speech rate of 2.0 phones per second, below 4"),
        (spoken("bad", [0.03] * 5), only(fastest=25.0), "speech rate of 33.3 phones per second, above 25"),
        (spoken("bad", [0.03] * 7), only(shortest_run=6), "7 phones of minimum length in a row, above 6"),
        (spoken("bad", [0.1], duration=1.0), only(most_silence=0.8), "90% of the recording is silence, above 80%"),
        (
            spoken("bad", [0.1], confidence=-9.0), only(lowest_score=-5.0),
            "score per frame -160.0 deviations from the median, below -5",
        ),
        (
            spoken("bad", [0.6]), only(largest_z=5.0),
            "a phone duration 7.1 standard deviations off, above 5: 'S' [0.000, 0.600)",
        ),
    ],
)  # fmt: skip
def test_each_limit_marks_alone(bad, limits, reason):
    good = [spoken(f"good{i}", [0.1] * 10) for i in range(20)]
    table = quality_table([*good, bad], limits=limits)
    assert table["utterance"][0] == "bad" and table["marked"].tolist() == [True] + [False] * 20
    assert table["reasons"][0] == reason
    assert not quality_table([*good, bad], limits=OFF)["marked"].any()


def test_nothing_aligned_is_worst_and_limits_must_make_sense():
    table = quality_table([spoken("good", [0.1] * 9), Alignment("none", (), (), 1.0, "test")])
    assert table["utterance"].tolist() == ["none", "good"] and table["reasons"][0] == "nothing is aligned"

    def message(**limits):
        with pytest.raises(ConfigurationError) as error:
            QualityLimits(**limits)
        return str(error.value)

    assert message(slowest=9, fastest=8) == (
        "The quality limits contradict each other: slowest is 9 fastest 8 phones per second."
    )
    assert message(largest_z=math.inf) == "The quality limit largest_z must be a number or None, not inf."


def test_marked_utterances_stay_out_of_a_run_unless_they_are_kept(tmp_path):
    from analysis.alignment import align
    from analysis.corpus.utterance import Corpus, Utterance

    good = [spoken(f"g{i}", [0.1] * 10) for i in range(9)]
    found = [*good, spoken("lost", [0.03] * 40)]
    utterances = tuple(Utterance(one.utterance_id, tmp_path / "a.wav", "w", "s", one.duration, 16000) for one in found)

    class Reads:
        source = "test"

        def align(self, utterances):
            yield from found

    for keep in (False, True):
        aligned = align(Corpus("c", utterances), Reads(), keep_marked=keep)
        assert ("lost" in aligned) == keep and len(aligned.quality) == 10 and aligned.quality["utterance"][0] == "lost"
        left_out = [failure.item for failure in aligned.failures]
        assert left_out == ([] if keep else ["lost"])
