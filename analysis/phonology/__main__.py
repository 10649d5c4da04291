"""``python -m analysis.phonology``: pronunciations, syllables, near-homophones.

Exit codes: 0 done; 2 the request cannot be met (the message says why).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.console import Parser, exit_code, seed
from analysis.errors import ConfigurationError, LexiconError

if TYPE_CHECKING:
    from analysis.phonology.inventory import Inventory
    from analysis.phonology.lexicon import Lexicon


def parser() -> argparse.ArgumentParser:
    """The parser of this command, from which its page in the documentation is made too."""
    parser = Parser(
        prog="python -m analysis.phonology",
        description="Pronunciations, syllables, and pairs of words that sound alike.",
        epilog="Exit codes: 0 done; 2 the request cannot be met (the message says why).",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    pairs = commands.add_parser(
        "pairs",
        help="pairs that sound alike, over a dictionary or over the words of a corpus",
        description="Count the pairs of a dictionary by relation, or list those of a corpus. With --out the pairs are written, "
        "as .tsv, .csv or .parquet.",
    )
    pairs.add_argument("--lexicon", default="cmudict", help="cmudict, mandarin, or a dictionary file (default: %(default)s)")
    pairs.add_argument("--inventory", help="phone inventory of a dictionary file (default: arpabet)")
    pairs.add_argument("--corpus", help="demo, a folder or a manifest: only what is said in it is paired")
    pairs.add_argument("--min-tokens", type=int, default=5, help="said at least so often in the corpus (default: %(default)s)")
    pairs.add_argument("--unit", choices=("word", "syllable"), default="word", help="what is paired (default: %(default)s)")
    pairs.add_argument("--threshold", type=float, default=0.4, help="largest phone distance (default: %(default)s)")
    pairs.add_argument(
        "--costs", choices=("uniform", "features"), default="uniform", help="of a substitution; features with --corpus only"
    )
    pairs.add_argument("--visemes", default="mpeg4", help="viseme map, a file, or lips for lip features (default: %(default)s)")
    pairs.add_argument(
        "--relations", default="near_homophone,homophone", help="to list; with --corpus also unrelated (default: %(default)s)"
    )
    pairs.add_argument("--edit-classes", default="", help="list minimal pairs of these classes only, such as voicing,place")
    pairs.add_argument("--min-viseme-distance", type=float, default=0.0, help="list pairs at least so far apart on the lips")
    pairs.add_argument("--seed", type=seed, default=0, help="of the draw of unrelated pairs (default: %(default)s)")
    pairs.add_argument("--out", type=Path, help="file for the pairs")

    pronounce = commands.add_parser("pronounce", help="pronunciations of words: phones, IPA, X-SAMPA, syllables, visemes")
    pronounce.add_argument("words", nargs="+", metavar="WORD", help="words of the lexicon")
    pronounce.add_argument("--lexicon", default="cmudict", help="cmudict (default), a name in lexicons/, or a dictionary file")
    pronounce.add_argument("--inventory", help="of a dictionary file, and of phones in quotation marks (default: arpabet)")
    pronounce.add_argument("--visemes", default="mpeg4", help="viseme map, by its name in lexicons/visemes (default: mpeg4)")

    syllables = commands.add_parser("syllabify", help="syllables of words of a lexicon, or of phones in quotation marks")
    syllables.add_argument("words", nargs="+", metavar="WORD", help="words, or phones in quotation marks")
    syllables.add_argument("--lexicon", default="cmudict", help="cmudict (default), a name in lexicons/, or a dictionary file")
    syllables.add_argument("--inventory", help="of a dictionary file, and of phones in quotation marks (default: arpabet)")

    check = commands.add_parser(
        "check-syllables",
        help="agreement of our syllables with published lexicons that mark them",
        description="Compares with ISLEX (pip install pysle==4.0.2) and with Festival's CMU lexicon (apt-get install "
        "festlex-cmu), whichever is there.",
    )
    check.add_argument("--isle", type=Path, help="ISLEdict.txt (default: that of the package pysle)")
    check.add_argument("--festival", type=Path, help="cmudict-0.4.out (default: that of festlex-cmu)")
    check.add_argument("--differences", type=int, default=10, help="how many of the commonest to show (default: %(default)s)")
    return parser


#: Classes of minimal pairs, in any inventory.
_EDIT_CLASSES = ("voicing", "aspiration", "place", "manner", "vowel", "tone", "insertion", "other")


def _pairs(arguments: argparse.Namespace) -> None:
    from analysis.phonology.lexicon import load_lexicon

    if arguments.min_tokens < 1:
        raise ConfigurationError(f"--min-tokens is {arguments.min_tokens}; a type is said at least once, so give 1 or more.")
    _check_listing(arguments)
    lexicon = load_lexicon(arguments.lexicon, inventory=arguments.inventory)
    if arguments.corpus is None:
        _dictionary_pairs(arguments, lexicon)
    else:
        _corpus_pairs(arguments, lexicon)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _check_listing(arguments: argparse.Namespace) -> None:
    """Raise for what could not be listed or written, before minutes of work."""
    from analysis.phonology.pairs import PairWriter

    unknown = [name for name in _listed(arguments.edit_classes) if name not in _EDIT_CLASSES]
    if unknown:
        raise ConfigurationError(f"There is no edit class {unknown[0]!r}; choose among {', '.join(_EDIT_CLASSES)}.")
    if arguments.out:
        PairWriter(arguments.out)


def _dictionary_pairs(arguments: argparse.Namespace, lexicon) -> None:
    from analysis.phonology.dictionary import Dictionary, count_relations, iter_pair_tables
    from analysis.phonology.pairs import PairWriter

    if arguments.costs != "uniform":
        raise ConfigurationError(
            "--costs features compares every pair in full, which a whole dictionary is too large for. Add --corpus."
        )
    if arguments.unit != "word":
        raise ConfigurationError("--unit syllable needs --corpus: a dictionary does not say how often a syllable is said.")
    dictionary = Dictionary(lexicon)
    counts = count_relations(dictionary, threshold=arguments.threshold, progress=True)
    print(
        f"{lexicon.name}: {counts.n_entries:,} pronunciations of {counts.n_words:,} words, "
        f"{counts.n_forms:,} distinct without stress"
    )
    print(f"pairs of pronunciations of different words, near-homophones at a distance of at most {counts.threshold:g}:\n")
    print(f"  {'homophone':34}{counts.relations['homophone']:>16,}")
    print(f"  {'near-homophone':34}{counts.relations['near_homophone']:>16,}")
    print(f"  {'unrelated':34}{counts.relations['unrelated']:>16,}")
    print(f"  {'all':34}{counts.n_pairs:>16,}\n")
    total = sum(counts.minimal_pairs.values())
    print(f"  {'minimal pairs (one edit)':34}{total:>16,}   of them within the threshold: {counts.minimal_pairs_near:,}")
    classes: dict[str, int] = {}
    for (kind, _), number in counts.minimal_pairs.items():
        classes[kind] = classes.get(kind, 0) + number
    for kind, number in sorted(classes.items(), key=lambda item: -item[1]):
        print(f"    {kind:32}{number:>16,}")
        if kind == "vowel":
            for column in ("height", "backness", "rounding", "length", "glide"):
                alone = counts.minimal_pairs.get(("vowel", column), 0)
                among = sum(n for (k, detail), n in counts.minimal_pairs.items() if k == "vowel" and column in detail.split("+"))
                print(f"      {'in ' + column:30}{among:>16,}   in nothing else: {alone:,}")
    if arguments.out:
        tables = iter_pair_tables(
            dictionary,
            threshold=arguments.threshold,
            relations=_listed(arguments.relations),
            edit_classes=_listed(arguments.edit_classes),
            min_viseme_distance=arguments.min_viseme_distance,
            visemes=arguments.visemes,
            progress=True,
        )
        with PairWriter(arguments.out, comments=(f"Pairs of {lexicon.name}; visemes: {arguments.visemes}.",)) as writer:
            for table in tables:
                writer.write(table)
        print(f"\n{writer.n_rows:,} pairs written to {arguments.out}")


def _corpus_pairs(arguments: argparse.Namespace, lexicon) -> None:
    from collections import Counter

    from analysis.alignment.transcript import spoken_words
    from analysis.corpus import iter_corpus
    from analysis.corpus.utterance import Utterance
    from analysis.phonology.inventory import load_inventory
    from analysis.phonology.pairs import PairWriter, pair_table
    from analysis.phonology.syllabification import syllabify
    from analysis.phonology.synonyms import flag_synonyms

    said = Counter(
        word
        for item in iter_corpus(arguments.corpus)
        if isinstance(item, Utterance)
        for word in map(str.lower, spoken_words(item.text))
    )
    inventory = load_inventory(lexicon.inventory)
    known = {word: inventory.symbols(lexicon.pronunciations(word)[0]) for word in said if word in lexicon}
    tokens: Counter[str] = Counter()
    types: dict[str, str] = {}
    for word, symbols in known.items():
        if arguments.unit == "word":
            pieces = [(word, " ".join(symbols))]
        elif any(map(inventory.carries_syllable, symbols)):
            parts = syllabify(symbols, inventory=inventory.name)
            pieces = [(" ".join(symbols[first:stop]),) * 2 for first, _, stop in parts]
        else:
            pieces = []
        for name, phones in pieces:
            tokens[name] += said[word]
            types[name] = phones
    types = {name: phones for name, phones in types.items() if tokens[name] >= arguments.min_tokens}
    relations = _listed(arguments.relations)
    table = pair_table(
        types,
        threshold=arguments.threshold,
        relations=relations,
        n_unrelated=None if "unrelated" in relations else 0,
        seed=arguments.seed,
        inventory=lexicon.inventory,
        visemes=arguments.visemes,
        costs=arguments.costs,
    )
    table = table[~(table["viseme_distance"] < arguments.min_viseme_distance)]
    if classes := _listed(arguments.edit_classes):
        table = table[table["edit_class"].isin(classes)]
    table = table.assign(tokens_a=table["type_a"].map(tokens), tokens_b=table["type_b"].map(tokens)).reset_index(drop=True)
    if arguments.unit == "word":
        table = flag_synonyms(table)
    missing = sorted(set(said) - set(known))
    print(f"{sum(said.values()):,} words said, {len(said):,} different, {len(missing):,} of them not in {lexicon.name}", end="")
    print(f" ({', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''})" if missing else "")
    print(
        f"{len(types):,} {arguments.unit}s said at least {arguments.min_tokens} times; {len(table):,} pairs{':' if len(table) else ''}"
    )
    for relation, number in table["relation"].value_counts().items():
        print(f"  {relation:34}{number:>10,}")
    for kind, number in table.loc[table["edit_class"] != "", "edit_class"].value_counts().items():
        print(f"    one edit: {kind:22}{number:>10,}")
    if "synonym" in table:
        print(f"  {'synonyms by WordNet':34}{int(table['synonym'].sum()):>10,}")
    if arguments.out:
        with PairWriter(arguments.out, comments=(f"Pairs of {lexicon.name} said in {Path(arguments.corpus).name}.",)) as writer:
            writer.write(table)
        print(f"written to {arguments.out}")
    elif len(table):
        columns = [name for name in table if name not in ("phones_a", "phones_b")]
        print(table.loc[table["relation"] != "unrelated", columns].head(40).to_string(index=False, float_format="%.3f"))


def _pronunciations(word: str, lexicon: Lexicon, asked: str | None) -> tuple[Inventory, list[tuple[tuple, tuple]]]:
    """Phones and stress of a word of the lexicon, or of phones in the inventory that was asked for."""
    from analysis.phonology.inventory import load_inventory

    found, inventory = lexicon.pronunciations(word), load_inventory(lexicon.inventory)
    if not found and " " in word.strip():
        found, inventory = (word,), load_inventory(asked or lexicon.inventory)
    if not found:
        raise LexiconError(f"{word!r} is not in {lexicon.name}. Give its phones in quotation marks, or another --lexicon.")
    split = [[inventory.split(label) for label in phones.split()] for phones in found]
    return inventory, [(tuple(symbol for symbol, _ in one), tuple(level for _, level in one)) for one in split]


def _pronounce(arguments: argparse.Namespace) -> None:
    from analysis.phonology.lexicon import load_lexicon
    from analysis.phonology.visemes import load_visemes

    lexicon = load_lexicon(arguments.lexicon, inventory=arguments.inventory)
    for word in arguments.words:
        inventory, said = _pronunciations(word, lexicon, arguments.inventory)
        for symbols, stress in said:
            print(f"{word}\n  phones    {_stressed(symbols, stress)}")
            print(f"  ipa       {' '.join(inventory.written(symbols, 'ipa'))}")
            if inventory.base == "arpabet":
                visemes = load_visemes(arguments.visemes)
                print(f"  x-sampa   {' '.join(inventory.written(symbols, 'xsampa'))}")
                print(f"  visemes   {' '.join(visemes[symbol] for symbol in symbols)}  ({arguments.visemes})")
            print(f"  syllables {_divided(symbols, stress, inventory.name)}")


def _stressed(symbols: tuple[str, ...], stress: tuple[int, ...]) -> str:
    return " ".join(symbol if level < 0 else f"{symbol}{level}" for symbol, level in zip(symbols, stress, strict=True))


def _divided(symbols: tuple[str, ...], stress: tuple[int, ...], inventory: str) -> str:
    from analysis.phonology.syllabification import syllabify

    parts = syllabify(symbols, inventory=inventory)
    return " . ".join(_stressed(symbols[first:stop], stress[first:stop]) for first, _, stop in parts)


def _syllabify(arguments: argparse.Namespace) -> None:
    from analysis.phonology.lexicon import load_lexicon

    lexicon = load_lexicon(arguments.lexicon, inventory=arguments.inventory)
    for word in arguments.words:
        inventory, said = _pronunciations(word, lexicon, arguments.inventory)
        for symbols, stress in said:
            print(f"{word}\t{_divided(symbols, stress, inventory.name)}")


def _check_syllables(arguments: argparse.Namespace) -> None:
    from analysis.phonology.agreement import compare_counts, compare_syllables, find_festival, find_isle, read_festival, read_isle
    from analysis.phonology.lexicon import load_lexicon

    isle, festival = arguments.isle or find_isle(), arguments.festival or find_festival()
    if isle is None and festival is None:
        raise LexiconError(
            "There is no syllabified lexicon to compare with. Install one: `pip install pysle==4.0.2` (ISLEX) or "
            "`apt-get install festlex-cmu`, or name a file with --isle or --festival."
        )
    sources = [("ISLEX", isle, read_isle), ("Festival cmudict-0.4", festival, read_festival)]
    rows = [(name, list(read(path))) for name, path, read in sources if path is not None]
    print(f"{'source':22}{'words':>9}{'same count':>12}{'same syllables':>16}{'of polysyllables':>18}{'boundaries':>12}")
    found = [compare_syllables(name, words, n_disagreements=arguments.differences) for name, words in rows]
    for result in found:
        shares = f"{result.counts:>12.2%}{result.words:>16.2%}{result.polysyllables:>18.2%}{result.boundaries:>12.2%}"
        print(f"{result.source:22}{result.n_words:>9,}{shares}")
    lexicon = load_lexicon("cmudict")
    for name, words in rows:
        n_words, share = compare_counts(lexicon, words)
        print(f"\nNumber of syllables, CMUdict against {name}: {share:.2%} of the {n_words:,} words in both")
    for result in found:
        print(f"\nWhere {result.source} differs most often (theirs | ours):")
        for theirs, ours, times, example in result.disagreements:
            print(f"  {theirs:>16} | {ours:16}{times:>7,}  {example}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return exit_code(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parsed = parser().parse_args(arguments)
    commands = {"pairs": _pairs, "pronounce": _pronounce, "syllabify": _syllabify, "check-syllables": _check_syllables}
    return commands[parsed.command](parsed) or 0


if __name__ == "__main__":
    sys.exit(main())
