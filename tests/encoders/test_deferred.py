"""The encoder that waits with loading is the encoder."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from analysis.encoders import Encoder, deferred_encoder, load_encoder


def test_the_card_known_by_heart_is_that_of_the_loaded_encoder_and_frames_are_equal():
    deferred, loaded = deferred_encoder("bundled", device="cpu"), load_encoder("bundled", device="cpu")
    assert deferred.card == loaded.card
    assert deferred.device == loaded.device
    assert isinstance(deferred, Encoder)
    clip = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    assert torch.equal(deferred.encode([clip])[0], loaded.encode([clip])[0])
    assert torch.equal(deferred.encode([clip], [4])[0], loaded.encode([clip], [4])[0])


def test_what_is_not_known_by_heart_is_loaded():
    assert deferred_encoder("mfcc").card == load_encoder("mfcc").card
    padded = deferred_encoder("bundled?padded=yes")
    assert padded.card == load_encoder("bundled?padded=yes").card
    assert deferred_encoder("bundled", dtype="int8").precision == load_encoder("bundled", dtype="int8").precision


def test_the_card_loads_no_transformers():
    code = (
        "import sys; from analysis.encoders import deferred_encoder\n"
        "print(deferred_encoder('bundled', device='cpu').card.dims, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["384", "False"]
