"""Speech with its transcripts: what a corpus is, how the usual ones are read, and a demo corpus."""

from __future__ import annotations

from analysis.corpus.audio import read_audio
from analysis.corpus.demo import demo_corpus
from analysis.corpus.identity import corpus_hash
from analysis.corpus.manifest import write_manifest
from analysis.corpus.opening import iter_corpus, open_corpus
from analysis.corpus.utterance import Corpus, Utterance

__all__ = ["Corpus", "Utterance", "corpus_hash", "demo_corpus", "iter_corpus", "open_corpus", "read_audio", "write_manifest"]
