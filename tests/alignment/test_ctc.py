"""CTC alignment: the path against every path there is, batches against clips alone, known emissions, vocabularies, bad input."""

from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file

from analysis.alignment import Alignment, make_aligner
from analysis.alignment.ctc_model import CtcModel
from analysis.alignment.ctc_path import best_paths, least_frames
from analysis.alignment.ctc_vocabulary import Vocabulary
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ConfigurationError, Failure
from tests.reference.ctc import best_labels, collapsed

CHARACTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVKXJQZ'"]
IPA = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    *"p b t d k ɡ f v θ ð s z ʃ ʒ h m n ŋ l ɹ w j ɪ iː ɛ æ ʌ ə ɑː ɔː ʊ uː eɪ a e tʃ ɜː oʊ".split(),
]


def save_model(folder, tokens, *, norm="group", model_type="wav2vec2", **changes):
    """A tiny model with random weights, as save_pretrained and a tokenizer write it."""
    classes = {"wav2vec2": transformers.Wav2Vec2ForCTC, "wavlm": transformers.WavLMForCTC, "hubert": transformers.HubertForCTC}
    config = classes[model_type].config_class(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=len(tokens), pad_token_id=0,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer", conv_bias=norm == "layer", **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    classes[model_type](config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer").save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"word_delimiter_token": "|"}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "characters": save_model(folder / "characters", CHARACTERS),
        "layer": save_model(folder / "layer", CHARACTERS, norm="layer"),
        "phones": save_model(folder / "phones", IPA),
    }


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Noise bursts for words, with pauses before, after and between; other lengths for other utterances."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    found = []
    for name, text, seconds in (("a", "The sheep", 1.4), ("b", "ship", 0.9), ("c", "She sells 2 sheep.", 2.0)):
        samples = 0.0005 * rng.normal(size=int(16000 * seconds))
        samples[3200:9600] += 0.2 * rng.normal(size=6400)
        soundfile.write(folder / f"{name}.wav", samples, 16000)
        found.append(Utterance(name, folder / f"{name}.wav", text, "s", seconds, 16000))
    return found


# -- the path --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [(1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 2)])
def test_the_path_is_the_best_of_all_paths(tokens):
    rng = np.random.default_rng(len(tokens))
    for frames in range(1, 7):
        scores = np.log(rng.dirichlet(np.ones(3), size=frames))
        path = best_paths(torch.tensor(scores)[None], [frames], [tokens], blank=0)[0]
        best = best_labels(scores.tolist(), tokens, blank=0)
        if best is None:
            assert path is None and frames < least_frames(tokens)
            continue
        labels = [0 if place < 0 else tokens[place] for place in path]
        assert tuple(labels) == best[0] and collapsed(labels, 0) == list(tokens)
        assert list(dict.fromkeys(place for place in path if place >= 0)) == list(range(len(tokens)))


def test_impossible_tokens_have_no_path_and_a_batch_is_its_rows():
    rng = np.random.default_rng(1)
    scores = torch.tensor(np.log(rng.dirichlet(np.ones(5), size=(3, 12))))
    scores[2, :, 4] = -torch.inf
    targets, lengths = [(1, 2, 2), (3,), (4,)], [12, 5, 9]
    together = best_paths(scores, lengths, targets, blank=0)
    alone = [best_paths(scores[i : i + 1], [lengths[i]], [targets[i]], blank=0)[0] for i in range(3)]
    assert together[2] is None and alone[2] is None
    assert [path.tolist() for path in together[:2]] == [path.tolist() for path in alone[:2]]
    assert [len(path) for path in together[:2]] == lengths[:2]


def test_the_path_is_that_of_torchaudio():
    functional = pytest.importorskip("torchaudio.functional", reason="torchaudio is not published for this torch")
    scores = torch.randn(1, 40, 6).log_softmax(dim=-1)
    labels, _ = functional.forced_align(scores, torch.tensor([[1, 2, 2, 5]]), blank=0)
    path = best_paths(scores, [40], [(1, 2, 2, 5)], blank=0)[0]
    assert [0 if place < 0 else (1, 2, 2, 5)[place] for place in path] == labels[0].tolist()


# -- the model -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "model_type"), [("group", "wav2vec2"), ("layer", "wav2vec2"), ("group", "wavlm"), ("layer", "hubert")]
)
def test_a_clip_in_a_batch_gets_what_it_gets_alone(tmp_path, norm, model_type):
    folder = save_model(tmp_path / "m", CHARACTERS, norm=norm, model_type=model_type)
    rng = np.random.default_rng(2)
    clips = [rng.normal(size=n).astype(np.float32) for n in (16000, 9000, 4000)]
    model = CtcModel(str(folder), device="cpu")
    together, frames = model.log_probs(clips)
    plain = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    for row, clip in enumerate(clips):
        with torch.inference_mode():
            wanted = plain(extractor(clip, sampling_rate=16000, return_tensors="pt").input_values).logits.log_softmax(dim=-1)[0]
        assert frames[row] == len(wanted)
        torch.testing.assert_close(together[row, : frames[row]], wanted, rtol=1e-4, atol=1e-5)
    if (norm, model_type) == ("group", "wav2vec2"):
        padded = torch.zeros(1, 16000)
        padded[0, :4000] = extractor(clips[2], sampling_rate=16000, return_tensors="pt").input_values[0]
        mask = (torch.arange(16000) < 4000).long()[None]
        with torch.inference_mode():
            spoiled = plain(padded, attention_mask=mask).logits.log_softmax(dim=-1)[0, : frames[2]]
        assert (spoiled - together[2, : frames[2]]).abs().max() > 1e-3, "padding the waveform must make a difference here"


def test_the_blank_is_the_padding_token_unless_there_is_one_of_that_name(models, tmp_path):
    assert CtcModel(str(models["characters"]), device="cpu").vocabulary.blank == 0
    named = save_model(tmp_path / "named", ["<pad>", "<blank>", "|", *"abc"])
    assert CtcModel(str(named), device="cpu").vocabulary.blank == 1


def test_frames_lie_where_their_receptive_fields_are(models):
    model = CtcModel(str(models["characters"]), device="cpu")
    edges = model.edges(49, 16000)
    assert edges[:2] == pytest.approx([40 / 16000, 360 / 16000])  # centred on sample 200, 320 samples apart
    assert len(edges) == 50


# -- the aligner -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["characters", "layer", "phones"])
def test_alignments_are_ordered_inside_the_audio_and_complete(models, recordings, kind):
    found = list(make_aligner("ctc", model=models[kind], device="cpu").align(recordings))
    assert [[word.label for word in one.words] for one in found] == [["the", "sheep"], ["ship"], ["she", "sells", "two", "sheep"]]
    for one, utterance in zip(found, recordings, strict=True):
        for left, right in pairwise(one.phones):
            assert left.end <= right.start + 1e-9
        assert one.words[0].start >= 0 and one.words[-1].end <= utterance.duration
        assert [phone.label for word in one.words for phone in one.phones_of(word)] == [phone.label for phone in one.phones]
        for word in one.words:
            inside = one.phones_of(word)
            assert (inside[0].start, inside[-1].end) == (word.start, word.end)
        assert len(one.word_confidence) == len(one.words) and one.confidence < 0
    assert [phone.label for phone in found[1].phones] == ["SH", "IH1", "P"]
    how = "heard" if kind == "phones" else "spread by typical durations"
    assert found[0].source.startswith(f"ctc {kind} ") and found[0].source.endswith(f"(phones {how})")


def test_batches_change_nothing(models, recordings):
    together = list(make_aligner("ctc", model=models["characters"], device="cpu").align(recordings))
    alone = list(make_aligner("ctc", model=models["characters"], device="cpu", batch_seconds=0.1).align(recordings))
    for left, right in zip(together, alone, strict=True):
        assert (left.words, left.phones) == (right.words, right.phones)
        assert left.word_confidence == pytest.approx(right.word_confidence, abs=2e-4)


def built(tokens, said, frames, sure=0.97):
    """Log probabilities of a model that is sure of one token in every frame."""
    probabilities = np.full((frames, len(tokens)), (1 - sure) / (len(tokens) - 1))
    labels = np.zeros(frames, dtype=int)
    for frame, token in said.items():
        labels[frame] = tokens.index(token)
    probabilities[np.arange(frames), labels] = sure
    return torch.tensor(np.log(probabilities), dtype=torch.float32)[None], [frames]


def test_words_and_phones_lie_where_the_emission_says(models, tmp_path, monkeypatch):
    # Loud from 0.30 to 0.70 s and from 0.90 to 1.30 s: two words with a pause between, the second one followed by a third.
    rng = np.random.default_rng(3)
    samples = 0.0003 * rng.normal(size=24000)
    samples[4800:11200] += 0.2 * rng.normal(size=6400)
    samples[14400:20800] += 0.2 * rng.normal(size=6400)
    soundfile.write(tmp_path / "u.wav", samples, 16000)
    utterance = Utterance("u", tmp_path / "u.wav", "A bee saw", "s", 1.5, 16000)
    # frame i is centred at 12.5 + 20 i ms
    said = {22: "A", 38: "|", 47: "B", 48: "E", 50: "E", 54: "|", 56: "S", 58: "A", 60: "W"}
    aligner = make_aligner("ctc", model=models["characters"], device="cpu")
    monkeypatch.setattr(aligner._model, "log_probs", lambda clips: built(CHARACTERS, said, 74))
    (found,) = aligner.align([utterance])
    a, bee, saw = found.words
    assert (a.start, a.end) == pytest.approx((0.30, 0.70), abs=0.011), "from pause to pause"
    assert (bee.start, saw.end) == pytest.approx((0.90, 1.30), abs=0.011)
    meeting = 0.5 * (0.0025 + 0.02 * 51 + 0.0025 + 0.02 * 56)
    assert bee.end == saw.start == pytest.approx(meeting), "without a pause, half-way between E and S"
    assert found.word_confidence == pytest.approx([np.log(0.97)] * 3, abs=1e-4)
    b, iy = found.phones_of(bee)
    assert (b.label, iy.label) == ("B", "IY1")
    assert b.duration / bee.duration == pytest.approx(73 / (73 + 99), abs=1e-4), "in proportion to lexicons/durations"


def test_phones_that_are_heard_meet_half_way(models, recordings, monkeypatch):
    aligner = make_aligner("ctc", model=models["phones"], device="cpu")
    said = {12: "ʃ", 13: "ʃ", 18: "ɪ", 22: "p"}
    monkeypatch.setattr(aligner._model, "log_probs", lambda clips: built(IPA, said, 44))
    (found,) = aligner.align([recordings[1]])
    sh, ih, p = found.phones
    edge = 0.0025 + 0.02 * np.arange(45)
    assert sh.end == ih.start == pytest.approx(0.5 * (edge[14] + edge[18]))
    assert ih.end == p.start == pytest.approx(0.5 * (edge[19] + edge[22]))
    assert (sh.start, p.end) == (found.words[0].start, found.words[0].end) == pytest.approx((0.2, 0.6), abs=0.011)


def test_another_language_needs_a_lexicon_and_an_inventory(tmp_path, recordings):
    from dataclasses import replace

    tokens = ["<pad>", "|", *"妈他"]
    folder = save_model(tmp_path / "mandarin", tokens)
    aligner = make_aligner("ctc", model=folder, lexicon="mandarin", vocabulary="characters", device="cpu")
    (found,) = aligner.align([replace(recordings[1], text="妈 他")])
    assert (found.inventory, [phone.label for phone in found.phones]) == ("mandarin", ["m", "a", "˥", "tʰ", "a", "˥"])
    assert found.source.endswith("(phones spread evenly)")
    m, _, tone = found.phones_of(found.words[0])
    assert m.duration == pytest.approx(tone.duration, abs=1e-5)


# -- vocabularies ----------------------------------------------------------------------------------------------------------


def test_vocabularies_are_told_apart():
    def kind(tokens):
        return Vocabulary.of({token: i for i, token in enumerate(tokens)}, 0, "|").kind

    assert kind(CHARACTERS) == kind([token.lower() for token in CHARACTERS]) == "characters"
    assert kind([*CHARACTERS, *"ÄÖÜß"]) == "characters"
    assert kind(IPA) == "phones"
    assert kind(["[PAD]", "|", "aa", "b", "ch", "iy", "s", "t", "h#"]) == "phones"


def test_words_and_phones_are_written_in_tokens():
    letters = Vocabulary.of({token: i for i, token in enumerate(CHARACTERS)}, 0, "|")
    names = dict(enumerate(CHARACTERS))
    assert "".join(names[i] for i in letters.spelled("o'née")) == "O'NEE"
    with pytest.raises(AlignmentError) as error:
        letters.spelled("ша")
    assert str(error.value) == "The model has no token for 'ш' in 'ша'."
    phones = Vocabulary.of({token: i for i, token in enumerate(IPA)}, 0, None)
    names = dict(enumerate(IPA))
    written = phones.transcribed(["DH", "AH0", "AH1", "AY1", "CH", "R", "G"], "arpabet")
    assert [tuple(names[i] for i in ids) for ids in written] == [("ð",), ("ə",), ("ʌ",), ("a", "ɪ"), ("tʃ",), ("ɹ",), ("ɡ",)]
    with pytest.raises(AlignmentError) as error:
        phones.transcribed(["OY1"], "arpabet")
    assert str(error.value) == "The model has no token for the phone 'OY1' (arpabet)."
    arpabet = Vocabulary.of({"[PAD]": 0, "aa": 1, "iy": 2, "s": 3}, 0, None)
    assert arpabet.transcribed(["S", "IY1"], "arpabet") == [(3,), (2,)]


# -- bad input -------------------------------------------------------------------------------------------------------------


def test_recordings_that_cannot_be_aligned_are_failures(models, recordings):
    from dataclasses import replace

    utterance = recordings[1]
    long, strange, missing = make_aligner("ctc", model=models["characters"], device="cpu").align(
        [
            replace(utterance, text="this is much more than can be said in that short a time by anybody"),
            replace(utterance, text="..."),
            replace(utterance, audio=utterance.audio.with_name("none.wav")),
        ]
    )
    assert isinstance(long, Failure)
    assert long.reason == (
        "The transcript has 15 words of 66 tokens, which need 66 frames at the least, and the recording of 0.90 s has 44."
    )
    assert long.remedy == "Does the transcript belong to this recording, and is it complete?"
    assert strange.reason == "The transcript '...' has no words."
    assert missing.reason.startswith(f"{utterance.audio.with_name('none.wav')} does not exist.")


def test_models_that_cannot_be_used_say_why(models, tmp_path):
    def message(**options):
        with pytest.raises(ConfigurationError) as error:
            make_aligner("ctc", device="cpu", **options)
        return str(error.value)

    tiny = models["characters"]
    assert message(model=tiny, vocabulary="words") == (
        "The ctc aligner has no vocabulary 'words'. Choose one of auto, characters, phones."
    )
    assert message(model=tiny, batch_seconds=0) == "The ctc aligner's batch_seconds must be positive, not 0."
    bert = tmp_path / "bert"
    shutil.copytree(tiny, bert)
    (bert / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert message(model=bert) == (
        f"{bert} is of the family 'bert', which has no CTC model in transformers {transformers.__version__}. "
        f"Choose a model made for CTC, such as facebook/wav2vec2-base-960h."
    )
    bare = tmp_path / "bare"
    transformers.AutoModelForCTC.from_pretrained(tiny).wav2vec2.save_pretrained(bare)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(bare)
    (bare / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(CHARACTERS)}))
    assert message(model=bare) == (
        f"{bare} lacks 2 weights of a CTC model, the first lm_head.bias: it is an encoder without a CTC head, or its config.json "
        f"belongs to another model. Choose a model that was trained with CTC."
    )
    (bare / "vocab.json").unlink()
    assert message(model=bare) == (
        f"The folder {bare} cannot be loaded as a CTC model: it holds no vocab.json. It must hold config.json, "
        f"preprocessor_config.json, vocab.json and model.safetensors, as save_pretrained of model, feature extractor and tokenizer "
        f"writes them."
    )
    nested = save_model(tmp_path / "nested", CHARACTERS)
    (nested / "vocab.json").write_text(json.dumps({"eng": {"a": 1}, "deu": {"a": 1}}))
    assert message(model=nested) == (
        f"The vocabulary of {nested} holds one of 2 languages each (eng, deu, ...). Save it for one language: load its processor "
        f"with target_lang, then save_pretrained."
    )
    blank = save_model(tmp_path / "blank", CHARACTERS)
    config = json.loads((blank / "config.json").read_text())
    (blank / "config.json").write_text(json.dumps(config | {"pad_token_id": 99}))
    assert message(model=blank) == (
        f"{blank} does not say which token is the CTC blank: pad_token_id in its config.json is 99, and the vocabulary has 32 tokens. "
        f"Set it to the id of the padding token of vocab.json."
    )
    hub = message(model="nobody/none")
    assert hub.startswith("The CTC model nobody/none is neither a folder nor could it be fetched from the hub: ")
    assert hub.endswith("Offline, fetch it on another machine with `hf download nobody/none` and give the folder.")


class Trap:
    """An object that only its own code can build."""

    def __reduce__(self):
        return (os.mkdir, ("should-not-happen",))


def test_damaged_models_say_what_is_wrong(models, tmp_path):
    def message(model):
        with pytest.raises(ConfigurationError) as error:
            make_aligner("ctc", device="cpu", model=model)
        return str(error.value)

    def spoilt(name, **changes):
        folder = shutil.copytree(models["characters"], tmp_path / name)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
        return folder

    cut = spoilt("cut") / "model.safetensors"
    size = cut.stat().st_size
    cut.write_bytes(cut.read_bytes()[:-10])
    assert message(cut.parent) == f"{cut} is cut short: its header asks for {size} bytes, and it has {size - 10}. Fetch it again."

    pickled = spoilt("pickled")
    state = load_file(pickled / "model.safetensors")
    (pickled / "model.safetensors").unlink()
    torch.save(state | {"more": Trap()}, pickled / "pytorch_model.bin")
    assert message(pickled) == (
        f"The weights of {pickled} were refused: they are a pickle of more than plain tensors, and loading it would run code from the "
        f"file. If you trust it, load it where it was made and write it again: model.save_pretrained(folder)"
    )

    head = spoilt("head", vocab_size=40)
    assert message(head) == (
        f"The weights of {head} do not fit its config.json: lm_head.bias has the shape (32,), and by config.json it has (40,). Take both "
        f"from the same model; vocab_size is the number of outputs of the CTC head."
    )
    beyond = spoilt("beyond")
    (beyond / "vocab.json").write_text(json.dumps({"<pad>": 0, "a": 1, "b": 32}))
    assert message(beyond) == (
        f"The vocabulary of {beyond} does not fit its CTC head: vocab.json gives 'b' the number 32, and the head has 32 outputs. Take "
        f"both from the same model."
    )
    (beyond / "vocab.json").write_text(json.dumps({"<pad>": "0"}))
    assert (
        message(beyond) == f"The vocab.json of {beyond} does not give each token its number. Copy that of the model's tokenizer."
    )

    quantised = spoilt("quantised", quantization_config={"load_in_4bit": True})
    assert message(quantised) == (
        f"The weights of {quantised} are quantised (bitsandbytes, as quantization_config in its config.json says), and only that program "
        f"reads them. Give the model that they were made from."
    )
    strange = spoilt("strange", hidden_act="sigh")
    assert message(strange).startswith(f"The folder {strange} cannot be loaded as a CTC model: KeyError: 'sigh'. It must hold ")

    adapter = spoilt("adapter")
    (adapter / "adapter_config.json").write_text("{}")
    assert message(adapter) == (
        f"{adapter} holds an adapter of peft (adapter_config.json) beside its weights, which would be left out. Merge it where peft is "
        f"installed: PeftModel.from_pretrained(model, FOLDER).merge_and_unload().save_pretrained(OTHER)"
    )
    (adapter / "adapter_config.json").unlink()
    (adapter / "preprocessor_config.json").unlink()
    assert message(adapter).startswith(
        f"The folder {adapter} cannot be loaded as a CTC model: it holds no preprocessor_config.json. It must hold config.json, "
    )
    config = adapter / "config.json"
    weights = adapter / "model.safetensors"
    assert message(weights) == f"{weights} is a file of weights. Give the folder that it is in: {adapter}"
    assert message(config) == f"{config} is a configuration and holds no weights. Give the folder that it is in: {adapter}"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_stored_in_half_precision_compute_in_float32(models, tmp_path, dtype):
    """To what their stored weights give: the rounded ones of the whole model, in float32."""
    folder = shutil.copytree(models["characters"], tmp_path / "half")
    model = transformers.AutoModelForCTC.from_pretrained(folder).to(dtype)
    model.save_pretrained(folder)
    noise = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    found, _ = CtcModel(str(folder), device="cpu").log_probs([noise])
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        values = extractor(noise, sampling_rate=16000, return_tensors="pt")["input_values"]
        expected = model.float().eval()(values).logits.log_softmax(dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_device_that_is_not_there(models):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigurationError) as error:
        make_aligner("ctc", model=models["characters"], device="cuda")
    assert str(error.value) == f"The ctc aligner was asked to run on cuda, and torch {torch.__version__} sees no CUDA device."


def test_the_cache_key_changes_with_model_lexicon_and_options(models, recordings, tmp_path):
    lexicon = tmp_path / "own.dict"
    lexicon.write_text("sheep SH IY1 P\n")
    aligners = [
        make_aligner("ctc", model=models["characters"], device="cpu"),
        make_aligner("ctc", model=models["layer"], device="cpu"),
        make_aligner("ctc", model=models["characters"], lexicon=lexicon, device="cpu"),
        make_aligner("ctc", model=models["characters"], text="as_written", device="cpu"),
    ]
    keys = [aligner.cache_key(recordings[0]) for aligner in aligners]
    lexicon.write_text("sheep SH IH1 P\n")
    keys.append(aligners[2].cache_key(recordings[0]))
    assert len(set(keys)) == 5
    assert make_aligner("ctc", model=models["characters"], device="cpu").cache_key(recordings[0]) == keys[0]
    assert isinstance(next(aligners[2].align(recordings[:1])), Alignment)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_cuda_gives_what_the_cpu_gives(models, recordings):
    on_cpu = list(make_aligner("ctc", model=models["phones"], device="cpu").align(recordings))
    on_gpu = list(make_aligner("ctc", model=models["phones"], device="cuda").align(recordings))
    for left, right in zip(on_cpu, on_gpu, strict=True):
        assert left.confidence == pytest.approx(right.confidence, abs=1e-2)
        assert [phone.label for phone in left.phones] == [phone.label for phone in right.phones]
