"""A stand-in for the `mfa` command: it does what MFA 3.4.3 was seen to do with arguments, files and failures, but aligns nothing.

Each word gets an equal share of the time between 0.1 s after the start and before the end, less a pause of 30 ms; phones share the
word. Models must lie below MFA_ROOT_DIR/pretrained_models, or be files. Run as `mfa version`, `mfa align`, `mfa train`, `mfa adapt`.
"""

import csv
import json
import math
import os
import shutil
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import soundfile

COLUMNS = [
    "file", "begin", "end", "speaker", "overall_log_likelihood", "speech_log_likelihood", "phone_duration_deviation",
    "max_running_short_interval", "snr", "intensity_deviation",
]  # fmt: skip
FORMATS = {"long_textgrid": ".TextGrid", "short_textgrid": ".TextGrid", "json": ".json", "csv": ".csv"}
VALUES = (
    "config_path speaker_characters audio_directory reference_directory custom_mapping_path output_format profile "
    "fine_tune_boundary_tolerance g2p_model_path temporary_directory num_jobs output_directory"
).split()
FLAGS = "include_original_text no_tokenization fine_tune ignore_oovs single_speaker".split()
PAIRS = "clean final_clean verbose quiet overwrite use_mp use_threading debug use_postgres".split()
PLACES = {
    "align": ("CORPUS_DIRECTORY", "DICTIONARY_PATH", "ACOUSTIC_MODEL_PATH", "OUTPUT_DIRECTORY"),
    "adapt": ("CORPUS_DIRECTORY", "DICTIONARY_PATH", "ACOUSTIC_MODEL_PATH", "OUTPUT_MODEL_PATH"),
    "train": ("CORPUS_DIRECTORY", "DICTIONARY_PATH", "OUTPUT_MODEL_PATH"),
}
ENDINGS = {"acoustic": (".zip",), "dictionary": (".dict", ".txt", ".yaml")}
PAUSE = 0.03


def log(level, text):
    """A line of MFA's log: on standard error, wrapped at 80 columns."""
    lines = textwrap.wrap(text, 70)
    print("\n".join(f"{' ' + level if number == 0 else '':10}{line:70}" for number, line in enumerate(lines)), file=sys.stderr)


def refuse(command, message):
    """A usage error: a box on standard error, exit code 2."""
    print(f"{'':80}\n{f' Usage: mfa {command} [OPTIONS] ' + ' '.join(PLACES[command]):80}\n{'':80}", file=sys.stderr)
    print("╭─ Error " + "─" * 71 + "╮", file=sys.stderr)
    for paragraph in message.split("\n"):
        for line in textwrap.wrap(paragraph, 76) or [""]:
            print(f"│ {line:76} │", file=sys.stderr)
    print("╰" + "─" * 78 + "╯", file=sys.stderr)
    sys.exit(2)


def crash(name, explanation):
    """A failure while running: traceback and explanation on standard error, exit code 1."""
    log("ERROR", "There was an error in the run, please see the log.")
    print("Traceback (most recent call last):", file=sys.stderr)
    print('  File "/conda/bin/mfa", line 10, in <module>\n    sys.exit(mfa_cli())', file=sys.stderr)
    print(f"montreal_forced_aligner.exceptions.{name}: {name}:\n\n{explanation}", file=sys.stderr)
    sys.exit(1)


def arguments(command, given):
    """Positionals and options. After the positionals, what is unknown is taken without a word; before them it is refused."""
    places, options, n = [], {"beam": 10, "retry_beam": 40, "output_format": "long_textgrid"}, len(PLACES[command])
    rest = list(given)
    while rest:
        word = rest.pop(0)
        name = word.lstrip("-").replace("-", "_") if word.startswith("-") else None
        if name is None:
            places.append(word)
        elif name in FLAGS or name in PAIRS or name.removeprefix("no_") in PAIRS:
            options[name] = True
        elif name in VALUES:
            options[name] = rest.pop(0)
        elif len(places) < n:
            refuse(command, f"No such option: {word}")
        elif name in ("beam", "retry_beam"):
            options[name] = int(rest.pop(0))
        elif name == "g2p_model":
            print("AttributeError: 'str' object has no attribute 'validate'", file=sys.stderr)
            sys.exit(1)
    if len(places) < n:
        refuse(command, f"Missing argument '{PLACES[command][len(places)]}'.")
    if options["output_format"] not in FORMATS:
        choices = ", ".join(f"'{one}'" for one in FORMATS)
        refuse(command, f"Invalid value for '--output_format': '{options['output_format']}' is not one of {choices}.")
    if options["retry_beam"] <= options["beam"] or options["retry_beam"] < 40:
        options["retry_beam"] = max(40, 4 * options["beam"])
    return dict(zip(PLACES[command], places, strict=False)), options


def root():
    return Path(os.environ.get("MFA_ROOT_DIR") or "~/Documents/MFA").expanduser()


def model(command, place, kind, name):
    """The file behind the name of a model."""
    folder = root() / "pretrained_models" / kind
    for path in (folder / f"{name}{ending}" for ending in ENDINGS[kind]):
        if path.is_file():
            return path
    path = Path(name)
    if path.suffix in ENDINGS[kind]:
        if not path.is_file():
            refuse(command, f"Invalid value for '{place}': FileArgumentNotFoundError:\n\nThe file \"{name}\" was not found.")
        return path
    if path.is_file():
        listed = ", ".join(ENDINGS[kind])
        refuse(
            command,
            f"Invalid value for '{place}': ModelExtensionError:\n\nThe path \"{name}\" does not have one of {listed} for {kind}.",
        )
    refuse(
        command,
        f"Invalid value for '{place}': PretrainedModelNotFoundError:\n\nCould not find a model named \"{name}\" for {kind}.",
    )


def unpacked(path):
    """Every run deletes and unpacks the model anew below its root, slowly."""
    target = root() / "extracted_models" / "acoustic" / f"{path.stem}_acoustic"
    shutil.rmtree(target, ignore_errors=True)
    time.sleep(0.05)
    target.mkdir(parents=True, exist_ok=True)
    (target / "final.mdl").write_text("model")
    return target / "final.mdl"


def utterances_of(path):
    """(speaker, begin, end, words) of one recording, from the .lab or .TextGrid beside it."""
    duration = round(soundfile.info(path).duration, 6)
    if path.with_suffix(".TextGrid").is_file():
        from praatio import textgrid

        grid = textgrid.openTextgrid(str(path.with_suffix(".TextGrid")), includeEmptyIntervals=False)
        return duration, [
            (name, round(entry.start, 4), round(min(entry.end, duration), 4), entry.label.lower().split())
            for name in grid.tierNames
            for entry in grid.getTier(name).entries
            if entry.start < duration
        ]
    words = path.with_suffix(".lab").read_text(encoding="utf-8").lower().split()
    words = [word for word in words if any(letter.isalnum() for letter in word)]
    return duration, [(path.parent.name, 0.0, duration, words)] if words else []


def intervals(words, begin, end, phones_of, g2p):
    step = (end - begin - 0.2) / len(words)
    found = {"words": [], "phones": []}
    for i, word in enumerate(words):
        first, last = round(begin + 0.1 + i * step, 2), round(begin + 0.1 + (i + 1) * step - PAUSE, 2)
        phones = phones_of.get(word, ["X"] if g2p else ["spn"])
        found["words"].append([first, last, word])
        edges = [round(first + k * (last - first) / len(phones), 2) for k in range(len(phones))] + [last]
        found["phones"] += [[a, b, phone] for a, b, phone in zip(edges, edges[1:], phones, strict=False)]
    return found


def long_textgrid(tiers, duration):
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {duration} ", "tiers? <exists> "]
    lines += [f"size = {len(tiers)} ", "item []: "]
    for n, (name, entries) in enumerate(tiers.items(), 1):
        filled, position = [], 0.0
        for number, (start, end, label) in enumerate(entries):
            if start - position > 0.001:
                filled.append([position, start, ""])
            end = duration if number == len(entries) - 1 and duration - end < 0.02 else end
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


def write(target, kind, speakers, duration):
    """One output file; with several speakers, their names stand before those of the tiers. Only TextGrids have pauses."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if kind == "csv":
        with target.open("w", newline="", encoding="utf-8") as stream:
            rows = [(*one, tier, name) for name, tiers in speakers.items() for tier in tiers for one in tiers[tier]]
            csv.writer(stream).writerows([("Begin", "End", "Label", "Type", "Speaker"), *rows])
        return
    tiers = {}
    for name, found in speakers.items():
        tiers |= {(f"{name} - {tier}" if len(speakers) > 1 else tier): entries for tier, entries in found.items()}
    if kind == "json":
        noisy = {
            name: {"type": "interval", "entries": [[float(np.float32(a)), float(np.float32(b)), label] for a, b, label in tier]}
            for name, tier in tiers.items()
        }
        target.write_text(json.dumps({"start": 0, "end": duration, "tiers": noisy}, indent=4, ensure_ascii=False))
    else:
        target.write_text(long_textgrid(tiers, duration), encoding="utf-8")


def run(command, given):
    places, options = arguments(command, given)
    corpus = Path(places["CORPUS_DIRECTORY"])
    if not corpus.is_dir():
        refuse(command, "Invalid value for 'CORPUS_DIRECTORY': Corpus directory does not exist.")
    if str(corpus).startswith(str(root())):
        refuse(
            command,
            "Invalid value for 'CORPUS_DIRECTORY': Corpus directories must be outside of MFA's temporary directory to prevent data "
            "loss, please move the corpus directory elsewhere and rerun.",
        )
    dictionary = model(command, "DICTIONARY_PATH", "dictionary", places["DICTIONARY_PATH"])
    temporary = Path(options.get("temporary_directory") or root())
    temporary.mkdir(parents=True, exist_ok=True)
    (temporary / "given.json").write_text(json.dumps([command, *given]))
    print("   1%                                      1/100  [ 0:00:01 < -:--:-- , ? it/s ]\r 100% 1/1  [ 0:00:01 < 0:00:00 ]")
    log("INFO", "Setting up corpus information...")
    if os.environ.get("MFA_STAND_IN_SLEEP"):
        (temporary / "asleep").write_text(str(os.getpid()))
        time.sleep(float(os.environ["MFA_STAND_IN_SLEEP"]))
    if "," in str(temporary):
        crash("KaldiFatalError", f"Error constructing archive writer: ark,scp:{temporary}/feats.1.ark,{temporary}/feats.1.scp")
    extracted = (
        unpacked(model(command, "ACOUSTIC_MODEL_PATH", "acoustic", places["ACOUSTIC_MODEL_PATH"])) if command != "train" else None
    )
    phones_of = {}
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        phones_of.setdefault(word, [phone for phone in phones if not phone.replace(".", "").isdigit()])
    recordings = [path for path in sorted(corpus.rglob("*")) if path.suffix in (".wav", ".flac")]
    found = {path: utterances_of(path) for path in recordings}
    speakers = {speaker for _, listed in found.values() for speaker, *_ in listed}
    jobs = int(options.get("num_jobs", 3))
    if jobs > len(speakers) and not options.get("single_speaker"):
        log(
            "WARNING",
            f"Number of jobs was specified as {jobs}, but due to only having {len(speakers)} speakers, MFA will only use "
            f"{len(speakers)} jobs. Use the --single_speaker flag if you would like to split utterances across jobs regardless of "
            f"their speaker.",
        )
    if command != "align":
        with zipfile.ZipFile(places["OUTPUT_MODEL_PATH"], "w") as archive:
            archive.writestr(
                "model/meta.json", json.dumps({"version": "3.4.3", "utterances": sum(len(u) for _, u in found.values())})
            )
        return
    aligned, empty, without, done = [], [], 0, {}
    for path, (duration, listed) in found.items():
        samples, _ = soundfile.read(path, always_2d=True)
        for number, (speaker, begin, end, words) in enumerate(listed):
            if "crash" in words:
                crash("KalpyError", "The decoder broke.\nIt said why in the log.")
            featureless = "featureless" in words or not math.isfinite(samples.sum()) or end - begin < 0.1
            without += featureless
            if featureless or ("unalignable" in words and options["beam"] < 100):
                empty.append([path.stem, begin, end, speaker, *[""] * 6])
                continue
            tiers = intervals(words, begin, end, phones_of, options.get("g2p_model_path"))
            kept = done.setdefault(path, (duration, {}))[1].setdefault(speaker, {"words": [], "phones": []})
            for tier, entries in tiers.items():
                kept[tier] = sorted([*kept[tier], *entries])
            aligned.append([path.stem, begin, end, speaker, -50.5, -45.25, 1.0 + 0.5 * len(words) + number, 4, 12.5, ""])
    if without:
        log(
            "WARNING",
            f"There were {without} utterances ignored due to an issue in feature generation, see the log file for full details or run "
            f"`mfa validate` on the corpus.",
        )
    if "warn" in {word for _, listed in found.values() for *_, words in listed for word in words}:
        log(
            "WARNING",
            "There were 3 pronunciations in the dictionary that were ignored for containing one of 2 phones not present in the "
            "trained acoustic model.  Please run `mfa validate` to get more details.",
        )
    if not extracted.is_file():
        crash(
            "PronunciationAcousticMismatchError",
            "There were phones in the dictionary that do not have acoustic models: \nAA0, AA1",
        )
    if not aligned:
        beams = f"The current set up used a beam of {options['beam']} and a retry beam of {options['retry_beam']}."
        crash(
            "NoAlignmentsError",
            f"There were no successful alignments for {len(empty)} utterances.\n{beams}\nYou can try rerunning with a larger beam.",
        )
    output = Path(places["OUTPUT_DIRECTORY"])
    output.mkdir(parents=True, exist_ok=True)
    for path, (duration, by_speaker) in done.items():
        target = output / path.relative_to(corpus).with_suffix(FORMATS[options["output_format"]])
        if not target.exists() or options.get("overwrite"):
            write(target, options["output_format"], by_speaker, duration)
    aligned.sort(key=lambda row: -row[6])
    with (output / "alignment_analysis.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *aligned, *empty])
    log("INFO", "Done! Everything took 0.100 seconds")


if __name__ == "__main__":
    if sys.argv[1:] == ["version"]:
        print("3.4.3")
    elif sys.argv[1:2] and sys.argv[1] in PLACES:
        run(sys.argv[1], sys.argv[2:])
    else:
        print(f"Error: No such command {sys.argv[1:]!r}.", file=sys.stderr)
        sys.exit(2)
