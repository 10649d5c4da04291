"""A stand-in for the `mfa` command of MFA 3.4: its arguments, its output files, its failures; no alignment behind it.

It refuses every argument that the real command does not declare, and models that were not "downloaded". Each word gets an equal
share of the time between 0.1 s after the start and before the end; phones share the word. Run as `mfa version` or `mfa align ...`.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import soundfile

PHONES = {
    "english_us_arpa": {"sheep": "SH IY1 P", "ship": "SH IH1 P", "the": "DH AH0", "two": "T UW1"},
    "english_mfa": {"sheep": "ʃ iː p", "ship": "ʃ ɪ p", "the": "ð ə", "two": "tʰ ʉː"},
    "plain": {"sheep": "s i p", "ship": "s e p", "the": "d e", "two": "t u"},
}
COLUMNS = [
    "file", "begin", "end", "speaker", "overall_log_likelihood", "speech_log_likelihood", "phone_duration_deviation",
    "max_running_short_interval", "snr", "intensity_deviation",
]  # fmt: skip


def arguments(given):
    parser = argparse.ArgumentParser(prog="mfa align", allow_abbrev=False)
    for name in ("corpus_directory", "dictionary_path", "acoustic_model_path", "output_directory"):
        parser.add_argument(name)
    for name in ("config_path", "speaker_characters", "audio_directory", "reference_directory", "custom_mapping_path"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--output_format", choices=["long_textgrid", "short_textgrid", "json", "csv"], default="long_textgrid")
    parser.add_argument("--fine_tune_boundary_tolerance", type=float)
    for name in ("g2p_model_path", "profile", "temporary_directory"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--num_jobs", "-j", type=int)
    for name in ("include_original_text", "no_tokenization", "fine_tune", "ignore_oovs", "single_speaker"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("clean", "final_clean", "verbose", "quiet", "overwrite", "use_mp", "use_threading", "debug", "use_postgres"):
        parser.add_argument(f"--{name}", action="store_true")
        parser.add_argument(f"--no_{name}", action="store_true")
    parser.add_argument("--beam", type=int)  # settings of the aligner, which the command takes beside its own options
    parser.add_argument("--retry_beam", type=int)
    return parser.parse_args(given)


def refuse(message):
    print(
        f"Usage: mfa align [OPTIONS] CORPUS_DIRECTORY DICTIONARY_PATH ACOUSTIC_MODEL_PATH\n           OUTPUT_DIRECTORY\n\n{message}"
    )
    sys.exit(2)


def intervals(words, duration, phones_of, g2p):
    step = (duration - 0.2) / len(words)
    found = {"words": [], "phones": []}
    for i, word in enumerate(words):
        start, end = 0.1 + i * step, 0.1 + (i + 1) * step
        phones = phones_of.get(word, "X" if g2p else "spn").split()
        found["words"].append([round(start, 6), round(end, 6), word])
        for k, phone in enumerate(phones):
            share = (end - start) / len(phones)
            found["phones"].append([round(start + k * share, 6), round(start + (k + 1) * share, 6), phone])
    return found


def long_textgrid(tiers, duration):
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {duration} ", "tiers? <exists> "]
    lines += [f"size = {len(tiers)} ", "item []: "]
    for n, (name, entries) in enumerate(tiers.items(), 1):
        filled, position = [], 0.0
        for start, end, label in entries:
            if start - position > 0.001:
                filled.append([position, start, ""])
            filled.append([start, end, label])
            position = end
        if duration - position > 0.001:
            filled.append([position, duration, ""])
        lines += [f"    item [{n}]:", '        class = "IntervalTier" ', f'        name = "{name}" ', "        xmin = 0 "]
        lines += [f"        xmax = {duration} ", f"        intervals: size = {len(filled)} "]
        for k, (start, end, label) in enumerate(filled, 1):
            lines += [f"        intervals [{k}]:", f"            xmin = {start} ", f"            xmax = {end} "]
            lines += [f'            text = "{label}" ']
    return "\n".join(lines) + "\n"


def align(given):
    options = arguments(given)
    corpus, output = Path(options.corpus_directory), Path(options.output_directory)
    if not corpus.is_dir():
        refuse(f"Error: Invalid value for 'CORPUS_DIRECTORY': {corpus} does not exist.")
    for what, name in (("DICTIONARY_PATH", options.dictionary_path), ("ACOUSTIC_MODEL_PATH", options.acoustic_model_path)):
        if name not in PHONES and not Path(name).is_file():
            refuse(f"Error: Invalid value for '{what}': Could not find a model named \"{name}\".")
    recordings = [path for path in sorted(corpus.rglob("*")) if path.suffix in (".wav", ".flac")]
    (Path(options.temporary_directory) / "given.json").write_text(json.dumps(given))
    phones_of = PHONES.get(Path(options.dictionary_path).stem, PHONES["english_us_arpa"])
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in recordings:
        words = path.with_suffix(".lab").read_text(encoding="utf-8").lower().split()
        duration = round(soundfile.info(path).duration, 6)
        if "crash" in words:
            print("Traceback (most recent call last):\nkalpy.exceptions.DecodeError: it broke")
            sys.exit(1)
        if "unalignable" in words and not options.beam:
            continue
        tiers = intervals(words, duration, phones_of, options.g2p_model_path)
        target = output / path.relative_to(corpus).with_suffix(".json" if options.output_format == "json" else ".TextGrid")
        target.parent.mkdir(parents=True, exist_ok=True)
        if options.output_format == "json":
            data = {name: {"type": "interval", "entries": entries} for name, entries in tiers.items()}
            target.write_text(json.dumps({"start": 0, "end": duration, "tiers": data}, indent=4, ensure_ascii=False))
        else:
            target.write_text(long_textgrid(tiers, duration), encoding="utf-8")
        rows.append([path.stem, 0, duration, path.parent.name, -50.5, -45.25, 1.5, 0, 12.5, ""])
    with (output / "alignment_analysis.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    print(" INFO     Done! Everything took 0.100 seconds")


if __name__ == "__main__":
    if sys.argv[1:] == ["version"]:
        print("3.4.3")
    elif sys.argv[1:2] == ["align"]:
        align(sys.argv[2:])
    else:
        print(f"Error: No such command {sys.argv[1:]!r}.")
        sys.exit(2)
