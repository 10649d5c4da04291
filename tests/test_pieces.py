"""The pieces of a run, one line each, with names or objects: what they give, how they show themselves, and what they refuse."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import analysis as wa
from analysis.corpus.utterance import Corpus, Utterance
from analysis.errors import AnalysisError, ConfigurationError, Failure, StrictError
from analysis.separation.settings import SeparationSettings
from analysis.settings import DecoupleConfig, ProjectionSettings, Settings

QUICK = {"distances": ("l2",), "vectors": ("raw",), "n_nulls": 5}


class Made:
    """Every line of the notebook, made once."""

    def __init__(self):
        self.corpus = wa.open_corpus("demo")[:40]
        self.aligned = wa.align(self.corpus, "pocketsphinx")
        self.tokens = wa.syllables(self.corpus, self.aligned)
        self.pairs = wa.near_homophones(self.tokens)
        self.vectors = wa.embed(self.corpus, self.tokens, encoder="mfcc", layers=[0])
        self.array = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
        self.meaning = wa.semantics(self.corpus, self.array)
        self.result = wa.score(self.vectors, self.meaning, self.pairs, settings=QUICK)
        self.report = wa.report(self.result, corpus=self.corpus, aligned=self.aligned, projection={"method": "pca"})


@pytest.fixture(scope="module")
def made():
    return Made()


def test_the_notebook_runs_with_names(tmp_path):
    corpus = wa.open_corpus("demo")[:40]
    aligned = wa.align(corpus, "pocketsphinx")
    tokens = wa.syllables(corpus, aligned)
    pairs = wa.near_homophones(tokens)
    vectors = wa.embed(corpus, tokens, encoder="bundled", layers=[4])
    meaning = wa.semantics(corpus, "wav2sem")
    result = wa.score(vectors, meaning, pairs)
    assert len(result.net(distance="l2"))
    assert result.plot("layers").axes
    assert set(result.table["variant"]) >= {"without", "wav2sem", "null:shuffled"}
    report = wa.report(result, corpus=corpus, projection={"method": "pca"})
    assert report.save(tmp_path / "mine", audio=False, formats=("png",)) == tmp_path / "mine"
    read = wa.Report.read(tmp_path / "mine")
    assert read.corpus["n_utterances"] == 40 and read.provenance["command"].startswith("composed in Python")
    assert "pocketsphinx" in read.provenance["aligner"]


@pytest.mark.parametrize("name", ["corpus", "aligned", "tokens", "pairs", "vectors", "meaning", "result", "report"])
def test_every_piece_shows_itself_shortly(made, name):
    piece = getattr(made, name)
    assert repr(piece).startswith("<") and len(repr(piece)) < 1500
    assert 60 < len(piece._repr_html_()) < 12000


def test_first_lines_say_what_there_is(made):
    assert repr(made.corpus) == "<Corpus demo: 40 utterances, 2 speakers, 1.6 minutes, synthetic speech>"
    assert repr(made.aligned).startswith("<Aligned by pocketsphinx 5.1.1: 40 utterances, ")
    assert repr(made.vectors).startswith("<Embeddings of mfcc: ")
    assert repr(made.meaning) == "<Semantic vectors of semantics (from array): 40 utterances, 8 dimensions>"
    assert repr(made.result).splitlines()[0].startswith("<Separation of mfcc: layer 0, with semantics, ")
    assert repr(made.result.net(distance="l2")).startswith("<8 scores; encoder: mfcc, layer: 0, ")
    assert re.fullmatch(r"<Separation of mfcc: [0-9,]+ scores on 1 layer>", repr(made.result.separation))
    assert made.result.plot("layers")._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["headline", "layers", "distances", "pairs", "nulls"])
def test_a_result_draws_what_a_report_draws(made, name):
    assert made.result.plot(name).axes
    with pytest.raises(AnalysisError):
        made.result.plot(name, venue="moon")


def test_html_is_escaped(made):
    bad = Failure("corpus", "<script>", "<b>bold</b>")
    html = replace(made.corpus, name="<i>", failures=(bad,))._repr_html_()
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html and "&lt;script&gt;" in html


def test_a_slice_keeps_failures_and_an_id_or_a_number_names_one():
    failure = Failure("corpus", "x", "It is silent.")
    utterances = tuple(Utterance(f"u{i}", "a.wav", "ship", "s", 1.0, 16000) for i in range(3))
    corpus = Corpus("c", utterances, (failure,))
    assert corpus[1:].failures == (failure,) and [one.id for one in corpus[1:]] == ["u1", "u2"]
    assert corpus[-1].id == "u2" == corpus["u2"].id
    assert refused(lambda: corpus[5:]) == "corpus[5:] holds no utterance: c has 3."
    assert refused(lambda: corpus[3]) == "corpus[3] is beyond the last utterance: c has 3, counted from 0."
    assert refused(lambda: corpus["v"]) == "The corpus c has no utterance 'v'; it has 3, such as 'u0'."
    assert refused(lambda: corpus[1.5]) == "A corpus takes a number, an id or a slice in brackets, not float."


def test_failures_travel_from_stage_to_stage(made):
    lost = Failure("alignment", "v", "It is silent.")
    some = [*made.aligned.values(), lost]
    tokens = wa.syllables(made.corpus, some)
    assert tokens.failures == (lost,) == tokens[tokens["stress"] > 0].failures
    assert wa.token_table(made.corpus, some)[1] == [lost]
    vectors = wa.embed(made.corpus, tokens, encoder="mfcc")
    result = wa.score(vectors, None, wa.near_homophones(tokens), settings=QUICK)
    assert lost in vectors.failures and lost in result.failures
    report = wa.report(result, corpus=made.corpus, projection={"method": "pca"})
    assert "v" in set(report.failures["item"])
    with pytest.raises(StrictError, match=r"^alignment: v: It is silent\.$"):
        wa.syllables(made.corpus, some, strict=True)


def test_pieces_give_what_a_run_gives(tmp_path, made):
    """The scores of a run are those of the lines of the notebook with the same settings."""
    rows = [[str(u.audio), u.text, u.speaker, u.id] for u in made.corpus]
    manifest = tmp_path / "few.csv"
    pd.DataFrame(rows, columns=["path", "transcript", "speaker", "id"]).to_csv(manifest, index=False)
    run = wa.run(
        corpus=manifest,
        encoder="mfcc",
        wav2sem="none",
        oracle="none",
        separation=QUICK,
        projection={"method": "pca"},
        write=False,
    )
    result = wa.score(made.vectors, None, made.pairs, settings=QUICK)
    pd.testing.assert_frame_equal(result.table, run.separation)
    composed = wa.report(result, corpus=wa.open_corpus(manifest), aligned=made.aligned, projection={"method": "pca"})
    for name in ("pairs", "tokens", "composition", "quality"):
        pd.testing.assert_frame_equal(composed.tables[name], run.tables[name], obj=name)
    assert composed.figures["composition"] == run.figures["composition"]


def test_vectors_of_ones_own_in_three_forms(made):
    ids = [one.id for one in made.corpus]
    forms = [made.meaning, pd.DataFrame(made.array, index=ids), (ids, made.array)]
    tables = [wa.score(made.vectors, form, made.pairs, settings=QUICK).table for form in forms]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])
    named = wa.score(made.vectors, {"mine": forms[1]}, made.pairs, settings=SeparationSettings(**QUICK)).table
    assert "mine" in set(named["variant"])


def test_utterances_that_a_module_lost_are_left_out_with_their_row(made):
    lost = Failure("semantics", made.corpus[0].id, "No vector.")
    part = replace(made.meaning, utterances=made.meaning.utterances[1:], vectors=made.meaning.vectors[1:], failures=(lost,))
    result = wa.score(made.vectors, part, made.pairs, settings=QUICK)
    assert made.corpus[0].id not in set(result.embeddings.tokens["utterance"]) and lost in result.failures
    assert refused(lambda: wa.score(made.vectors, replace(part, failures=()), made.pairs, settings=QUICK)).startswith(
        "The semantics 'semantics' have no vector for 1 of "
    )


def test_frames_of_every_token_go_with_the_tokens_that_are_scored(made):
    frames = {0: [np.ones((2, 3), np.float32)] * len(made.vectors)}
    settings = QUICK | {"scale_free": ("abx_error",)}
    table = wa.score(made.vectors, None, made.pairs, settings=settings, frames=frames).table
    assert "dtw_angular" in set(table["distance"])
    assert refused(lambda: wa.score(made.vectors, None, made.pairs, settings=settings, frames={0: frames[0][1:]})).startswith(
        f"Layer 0 has frames of {len(made.vectors) - 1} tokens, but the embeddings have {len(made.vectors)}."
    )


def test_a_result_shows_itself_whatever_was_scored(made):
    for settings in ({"relations": ("unrelated",)}, {"distances": ("cosine",), "vectors": ("utterance_centred",)}):
        result = wa.score(made.vectors, made.meaning, made.pairs, settings=QUICK | settings)
        assert len(result._repr_html_()) > 60 and repr(result).startswith("<Separation of mfcc: ")


def test_pairs_of_a_token_table_and_an_encoder_by_name(made):
    pairs = wa.pair_table(made.tokens)
    assert set(pairs["relation"]) >= {"near_homophone", "unrelated"}
    result = wa.score(made.vectors, made.meaning, pairs, settings=QUICK)
    assert result.plot("pairs").axes and len(wa.report(result, corpus=made.corpus, projection={"method": "pca"}).tables["pairs"])
    assert len(wa.extract("mfcc", made.corpus, made.tokens).embeddings) == len(made.tokens)


def refused(call):
    with pytest.raises(AnalysisError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: wa.align("demo"), "align: corpus is 'demo'; give what open_corpus(...) returns."),
        (lambda m: wa.align(m.corpus, 3), "align: aligner is a int; give a name, or an object with a method align(utterances) and a text source."),
        (lambda m: wa.syllables(m.corpus, "x"), "syllables: aligned is 'x'; give what align(corpus) returns."),
        (lambda m: wa.syllables(m.corpus, [1]), "syllables: aligned holds a int, where alignments are needed; give what align(corpus) returns."),
        (lambda m: wa.syllables(next(iter(m.aligned.values())), None), "syllables: corpus is an Alignment; for the syllables of one alignment use analysis.phonology.syllables(alignment)."),
        (lambda m: wa.near_homophones(m.aligned), "near_homophones: tokens is a Aligned; give the token table that syllables(corpus, aligned) returns."),
        (lambda m: wa.near_homophones(m.pairs), "near_homophones: tokens lacks the columns type, phones; it has "),
        (lambda m: wa.near_homophones(m.tokens, threshold=2), "near_homophones: threshold must lie between 0 and 1, not 2; the usual value is 0.4."),
        (lambda m: wa.embed(m.tokens, m.corpus), "embed: corpus is a TokenTable; give what open_corpus(...) returns."),
        (lambda m: wa.embed(m.corpus, m.tokens, 3), "encoder is a int; give a name, or an object with a card and a method encode(waveforms)."),
        (lambda m: wa.embed(m.corpus, m.tokens, "mfcc", layers=["x"]), "mfcc has layers 0 to 0; layers=['x'] are no numbers. Give a list such as layers=[0, 4]."),
        (lambda m: wa.semantics(m.corpus, m.array[:3]), "semantics: source has shape (3, 8), and the corpus demo has 40 utterances. Give one row for each, or ids with the rows: (ids, array)."),
        (lambda m: wa.semantics(m.corpus, pd.DataFrame(m.array)), "semantics: source has no vector for 40 of 40 utterances, such as "),
        (lambda m: wa.score(m.tokens, m.meaning, m.pairs), "score: vectors is a TokenTable; give what embed(corpus, tokens) returns."),
        (lambda m: wa.score(m.vectors, m.array, m.pairs), "semantics is an array without utterance ids. Give semantics(corpus, ...), a DataFrame with utterance ids as its index, or a pair (ids, array with one row an id)."),
        (lambda m: wa.score(m.vectors, {"wav2sem": Module()}, m.pairs), "semantics['wav2sem'] is a module, and its vectors are needed: semantics(corpus, module). "),
        (lambda m: wa.score(m.vectors, {"without": m.meaning}, m.pairs), "semantics has the key 'without'; a variant needs a name of its own, such as 'wav2sem'."),
        (lambda m: wa.score(m.vectors, (["a", "a"], m.array[:2]), m.pairs), "semantics has more than one vector for 'a'; give one for each utterance."),
        (lambda m: wa.score(m.vectors, (["a"], [[float("nan")]]), m.pairs), "semantics has NaN or infinite values for 1 utterances, such as 'a'."),
        (lambda m: wa.score(m.vectors, m.meaning), "score: pairs is a NoneType; give what near_homophones(tokens) returns."),
        (lambda m: wa.score(m.vectors, m.meaning, m.tokens), "score: pairs is a TokenTable without type_a, type_b and relation; give what near_homophones(tokens) returns."),
        (lambda m: wa.score(m.vectors, m.meaning, m.pairs, settings={"n_null": 3}), "score: settings: there is no setting 'n_null'; did you mean 'n_nulls'? The settings: "),
        (lambda m: m.result.net(distance="l3"), "net: no row has distance='l3'; there are l2."),
        (lambda m: m.result.net(colour="red"), "net: there is no column 'colour'; there are encoder, layer, "),
        (lambda m: m.result.plot("umap"), "There is no figure 'umap'. Choose one of "),
        (lambda m: m.result.plot("map"), "The result holds no data for the figure 'map': report(result, corpus=corpus) makes the map."),
        (lambda m: wa.report(m.table if hasattr(m, "table") else m.pairs, corpus=m.corpus), "report: result is a PairTable; give what score(vectors, meaning, pairs) returns."),
        (lambda m: wa.report(m.result, corpus="demo"), "report: corpus is a str; give what open_corpus(...) returns."),
        (lambda m: wa.report(m.result, corpus=m.corpus[:1]), "report: corpus demo has no utterance "),
        (lambda m: m.report.save(3), "save: folder is a int; give a path."),
        (lambda m: wa.run(separation={"n_nulls": "many"}), "Separation setting n_nulls takes a whole number, not 'many'."),
        (lambda m: wa.run(projection={"method": 1, "colour": 2}), "projection: there is no setting 'colour'. The settings: method, n_neighbors, min_dist, max_points, max_pairs."),
        (lambda m: wa.run(separation={"distances": "l2"}), "Separation setting distances takes a sequence of texts, not 'l2'; write ('l2',)."),
        (lambda m: wa.run(separation={"device": "gpu"}), "Separation setting device='gpu' is not known. Choose auto, cpu, cuda, cuda:1 or mps."),
        (lambda m: wa.run(share="half"), "share takes a number, not 'half'."),
        (lambda m: wa.run({"corpus": "demo"}), "run: config is a dict; give DecoupleConfig(...), or settings by name."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(made, call, message):
    assert refused(lambda: call(made)).startswith(message)


class Module:
    card = None

    def semantics(self, utterances):
        return []


def test_a_run_shows_its_settings_to_help_and_to_editors():
    shown = inspect.signature(wa.run).parameters
    names = list(DecoupleConfig.__dataclass_fields__)
    assert list(shown) == ["config", "write", *names]
    assert shown["share"].default == 0.5 and shown["share"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(typing.get_type_hints(Settings)) == names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"separation": {"scale": "as_is"}},
            "separation takes scale from the run, where it is 'share': give scale='as_is' beside separation, not inside it.",
        ),
        (
            {"separation": {"seed": 4}, "seed": 3},
            "separation takes seed from the run, where it is 3: give seed=4 beside separation, not inside it.",
        ),
        ({"projection": {"min_dist": float("nan")}}, "projection: min_dist must lie in [0, 1], not nan."),
        ({"projection": {"n_neighbors": 1}}, "projection: n_neighbors must lie in [2, 1000000], not 1."),
        ({"projection": {"max_points": -1}}, "projection: max_points must lie in [0, 1000000000], not -1."),
        ({"projection": {"max_pairs": -1}}, "projection: max_pairs must lie in [0, 1000000000], not -1."),
        ({"projection": {"min_dist": "small"}}, "projection: min_dist takes a number, not 'small'."),
    ],
)
def test_settings_that_would_be_passed_over_or_break_the_end_of_a_run(settings, message):
    with pytest.raises(ConfigurationError) as caught:
        DecoupleConfig(**settings)
    assert str(caught.value) == message


def test_what_separation_repeats_of_the_run_is_accepted():
    config = DecoupleConfig(separation={"seed": 3, "scale": "as_is", "n_nulls": 3}, seed=3, scale="as_is")
    assert (config.separation.seed, config.separation.scale, config.separation.n_nulls) == (3, "as_is", 3)


def test_settings_as_dicts_are_the_settings_themselves():
    config = DecoupleConfig(
        separation={"n_nulls": 3, "distances": ["l2"]}, projection={"method": "pca"}, layers=[4, 0], encoder="mfcc"
    )
    assert config.separation == SeparationSettings(n_nulls=3, distances=("l2",))
    assert config.projection == ProjectionSettings(method="pca") and config.layers == "4,0" and config.encoder == ["mfcc"]
