"""How transcripts with figures, signs and typing of all kinds are read aloud: a table, one reading a line."""

from __future__ import annotations

import pytest

from analysis.alignment import make_aligner
from analysis.alignment.transcript import plain_text, spoken_words, transcript_notes
from analysis.corpus import open_corpus

READINGS = """
24/7|twenty four seven
3.14|three point one four
-5|minus five
−5 degrees|minus five degrees
555-1234|five five five one two three four
(212) 555-0199|two one two five five five zero one nine nine
1-800-555-0199|one eight zero zero five five five zero one nine nine
50-50|fifty fifty
50/50|fifty fifty
$5m|five million dollars
$1.5bn|one point five billion dollars
£3k|three thousand pounds
$1|one dollar
$0.99|ninety nine cents
$.50|fifty cents
$1,250.50|one thousand two hundred fifty dollars and fifty cents
-$5|minus five dollars
$20-30|twenty to thirty dollars
5€|five euros
50¢|fifty cents
$2 million|two million dollars
1999|nineteen ninety nine
2000|two thousand
2005|two thousand five
2024|twenty twenty four
1900|nineteen hundred
1905|nineteen oh five
1939-45|nineteen thirty nine to forty five
the 1960s|the nineteen sixties
the '90s|the nineties
May 5, 2020|may fifth twenty twenty
12/25/1999|december twenty fifth nineteen ninety nine
2024-01-15|january fifteenth twenty twenty four
9/11|nine eleven
1st|first
22nd|twenty second
100th|one hundredth
1,000th|one thousandth
3/4|three quarters
2/3|two thirds
2½|two and one half
4/4|four four
5 km|five kilometers
1 km|one kilometer
a 10-km run|a ten kilometer run
60 mph|sixty miles per hour
20°C|twenty degrees celsius
98.6°F|ninety eight point six degrees fahrenheit
3 m²|three meters squared
5'10"|five foot ten
16 GB|sixteen gigabytes
5pm|five p m
9am-5pm|nine a m to five p m
10:30 a.m.|ten thirty a m
7:05|seven oh five
50%|fifty percent
0.5%|zero point five percent
#1|number one
No. 7|number seven
10-12|ten to twelve
1,000,000|one million
007|zero zero seven
1.2.3|one point two point three
192.168.0.1|one hundred ninety two dot one hundred sixty eight dot zero dot one
2 + 2 = 4|two plus two equals four
COVID-19|covid nineteen
World War II|world war two
World War I ended|world war one ended
Henry VIII|henry the eighth
James I know|james i know
For Part I care|for part i care
20-year-old|twenty year old
example.com|example dot com
3:1|three one
in 1066 men|in one thousand sixty six men
100-150|one hundred to one hundred fifty
500-1000|five hundred to one thousand
between -5 and -10|between minus five and minus ten
I have 5.|i have five
He is 5'|he is five
5G|five g
5th-grade|fifth grade
$5,000|five thousand dollars
5k run|five k run
B2B|b two b
100 m dash|one hundred meters dash
5 million|five million
in 5 in 6|in five in six
1/2-inch|one half inch
$100-a-day|one hundred dollars a day
1,00,000|one hundred thousand
"""


@pytest.mark.parametrize("line", READINGS.strip().splitlines())
def test_readings(line):
    text, words = line.split("|")
    assert spoken_words(text) == words.split()


def test_there_are_sixty_readings():
    assert len(READINGS.strip().splitlines()) >= 60


@pytest.mark.parametrize("digits", ["9" * 40, "9" * 5000])
@pytest.mark.parametrize("text", ["{} goats", "the {}th goat", "${}", "{} km", "{}.5", "the {}s"])
def test_numbers_beyond_the_library_are_read_digit_by_digit(text, digits):
    words = spoken_words(text.format(digits))
    assert words.count("nine") >= len(digits) - 1


@pytest.mark.parametrize(
    "typed",
    ["I don´t", "I don‘t", "I don`t", "I donʼt", "I don＇t", "I don&#39;t", "I don&#x27;t", "I don&rsquo;t", "I don&amp;#39;t",
     "I don&apos;t", "I do\u00adn\u2019t", "I do\u200bn't"],
)  # fmt: skip
def test_typing_does_not_change_the_words(typed):
    assert spoken_words(typed) == ["i", "don't"] and plain_text(typed).replace("I ", "") == "don't"


def test_entities_are_noted():
    assert transcript_notes("Tom &amp; Jerry don&#39;t, &quot;no&quot;, &lt;i&gt;") == [
        "The transcript has HTML entities (&amp;, &#39;, &quot;, ...); they were read as the characters that they stand for."
    ]
    assert transcript_notes("A&B; R&D, &nothing; &") == [] and spoken_words("Tom &amp; Jerry") == ["tom", "and", "jerry"]
    assert spoken_words("&lt;i&gt;sheep&lt;/i&gt;&nbsp;ship") == ["sheep", "ship"]


def test_the_reported_transcripts(shared_cases):
    corpus = open_corpus(shared_cases / "speech" / "apo")
    found = {one.utterance_id: one for one in make_aligner("pocketsphinx").align(corpus.utterances)}
    words = {name: tuple(word.label for word in one.words) for name, one in found.items()}
    assert words["a1"] == words["a2"] == words["a3"] == ("i", "don't", "know", "what", "we're", "travellin'", "for")
    assert words["s1"] == words["s2"] == ("the", "community", "is", "wonderful")
    assert found["a2"].warnings[0] == (
        "The transcript has HTML entities (&#39;); they were read as the characters that they stand for."
    )
    assert not any("HTML" in warning for name in ("a1", "a3", "s1", "s2") for warning in found[name].warnings)
