"""The separation table: one flat row per number, with everything needed to read it."""

from __future__ import annotations

__all__ = ["KEY_COLUMNS", "LOWER_IS_BETTER", "SEPARATION_COLUMNS"]

#: Statistics of which less is better; in the gate their rise is the regression.
LOWER_IS_BETTER = frozenset({"abx_error", "davies_bouldin", "phone_error_rate"})

#: Columns of the separation table with their dtypes, in order. Full precision: rounding only where a number is shown.
#: ``vectors``: ``raw``, ``utterance_centred``, ``top_pc_removed``. ``relation``: near_homophone, same_type, unrelated, homophone,
#: synonym, a class of token pairs that is not scored as near-homophones (variant_form, inflection, function_word, unstressed, ...;
#: macro only), a refinement such as near_homophone:voicing, or ``all`` for statistics over several. ``split``: ``all``,
#: ``same_utterance``, ``same_text``, ``different_text``, ``same_speaker``, ``different_speaker``, joined by ``+`` when both are asked.
#: ``variant``: ``without``, ``wav2sem``, ``oracle``, ``null:random``, ``null:shuffled``, ``null:constant``, ``null:frame_noise``.
#: ``statistic``: ``mean_distance``, ``gain`` (variant minus without), ``net`` (gain minus the null's gain; ``null`` says
#: which), ``between_within_ratio``, ``abx_error``, ...; of these too the change with the module (``abx_error:gain``) and its excess
#: over the null (``abx_error:net``). ``average``: ``macro`` (token pairs, then type pairs) or ``micro``.
#: ``method``: how the interval was made: ``crossed_t``, ``null_t`` (a net, against several draws of its null), ``pigeonhole``,
#: ``speaker_bootstrap``, ``none``. ``note``: why there is none. ``p_value`` of a net: two-sided, from the t distribution of its interval,
#: so that it is below 0.05 where a 95 % interval leaves out zero; ``p_adjusted``: the same after Benjamini and Hochberg.
#: ``p_permutation``: one-sided towards the better, from ``n_permutations`` shuffles of the headline's split. ``minimum_detectable_effect``: of a net row, the
#: smallest true value that this corpus would have told from zero with the power of the settings. Rows of a null (variant
#: ``null:...``) name in ``null`` the module whose vectors it stands in for.
SEPARATION_COLUMNS: dict[str, str] = {
    "encoder": "str",
    "layer": "int64",
    "pooling": "str",
    "unit": "str",
    "vectors": "str",
    "distance": "str",
    "relation": "str",
    "split": "str",
    "variant": "str",
    "statistic": "str",
    "null": "str",
    "average": "str",
    "estimate": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "ci_level": "float64",
    "method": "str",
    "p_value": "float64",
    "p_permutation": "float64",
    "p_adjusted": "float64",
    "effect_size": "float64",
    "minimum_detectable_effect": "float64",
    "n_tokens": "int64",
    "n_token_pairs": "int64",
    "n_type_pairs": "int64",
    "n_speakers": "int64",
    "n_utterances": "int64",
    "seed": "int64",
    "note": "str",
}

#: The columns that name a row: the gate compares rows that agree in all of them.
KEY_COLUMNS: tuple[str, ...] = (
    "encoder",
    "layer",
    "pooling",
    "unit",
    "vectors",
    "distance",
    "relation",
    "split",
    "variant",
    "statistic",
    "null",
    "average",
)
