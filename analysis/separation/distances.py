"""Distances between tokens, and how a vector added per utterance changes them without adding it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.relations import TokenPairs

if TYPE_CHECKING:
    import torch

__all__ = ["Added", "PairGeometry", "TokenDots", "Whitening", "principal_components", "type_distances"]

_MATRIX_LIMIT = 2**26
#: Inner products made at once: few enough for a core's cache, or for any card's memory.
_PRODUCTS = {"cpu": 2**17, "cuda": 2**24}
#: Rows of a block of inner products at least.
_FEWEST_ROWS = 64


class Whitening:
    """The linear maps behind ``l2_standardised`` and ``l2_whitened``, fitted on the corpus *without* semantics.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)

    Notes
    -----
    ``l2_standardised`` divides each dimension by its standard deviation over the tokens (scipy's ``seuclidean``);
    ``l2_whitened`` is the Mahalanobis distance under the corpus covariance, with eigenvalues below a hundredth of their mean
    raised to it, since a few tokens cannot tell how small the small ones are. Dimensions that never vary are left out.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = np.asarray(vectors, dtype=np.float64)

    def matrix(self, distance: str) -> np.ndarray:
        """The map ``A``, shape ``(D, D)`` or the diagonal ``(D,)``: the distance is ``||x A - y A||``."""
        centred = self.vectors - self.vectors.mean(0)
        variance = np.mean(centred**2, axis=0)
        if distance == "l2_standardised":
            return np.where(variance > 0, 1.0 / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        floor = max(values.mean() / 100, 1e-300)
        return axes / np.sqrt(np.maximum(values, floor))


def principal_components(vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean, shape (D,), and the first ``n`` principal axes, shape (n, D), of the vectors.

    References
    ----------
    Mu, J. and Viswanath, P. (2018). All-but-the-top: simple and effective postprocessing for word representations. ICLR.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    mean = vectors.mean(0)
    centred = vectors - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    return mean, axes[:, ::-1][:, :n].T


class PairGeometry:
    """Distances of given token pairs, for the vectors as they are and with vectors added per utterance.

    Parameters
    ----------
    vectors : ndarray, shape (n, D)
        One per token in use of ``pairs``.
    pairs : TokenPairs
    device : str
        ``cpu``, ``cuda`` or ``auto``.

    Notes
    -----
    Tokens are kept sorted by type, so that the inner products of a type pair are one small matrix product of two slices, and a
    variant costs one such product per type pair: nothing of size n x n, nor n x U, is ever made. Everything is float64: distances
    come from differences of inner products.

    ===============  ====================================================
    ``l2``           ``||x - y||``
    ``mse``          ``||x - y||^2 / D``
    ``cosine``       ``1 - <x, y> / (||x|| ||y||)``
    ``l2_unit``      ``|| x/||x|| - y/||y|| || = sqrt(2 cosine)``
    ``angular``      ``arccos(1 - cosine) / pi``, in [0, 1]
    ===============  ====================================================

    ``l2_standardised`` and ``l2_whitened`` are ``l2`` of vectors and offsets mapped by :class:`Whitening`.
    """

    def __init__(self, vectors: np.ndarray, pairs: TokenPairs, device: str = "cpu") -> None:
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.pairs = pairs
        self._by_type = np.argsort(pairs.type, kind="stable")
        self.vectors = self._sorted(vectors)
        if not bool(torch.isfinite(self.vectors).all()):
            bad = int((~torch.isfinite(self.vectors)).any(1).sum())
            raise SeparationError(
                f"{bad} of {len(self.vectors)} token vectors hold NaN or infinite values, so no distance is defined. Likely the "
                f"encoder overflowed in half precision or a token has no frame. Extract again with dtype float32."
            )
        self.dims = self.vectors.shape[1]
        rank = np.empty(len(self._by_type), dtype=np.int64)
        rank[self._by_type] = np.arange(len(rank))
        self.a, self.b = self._index(rank[pairs.a]), self._index(rank[pairs.b])
        self.utterance = self._index(pairs.utterance[self._by_type])
        self._same = self._index(pairs.utterance[pairs.a]) == self._index(pairs.utterance[pairs.b])
        self._lengths = self._index(pairs.cell_count)
        self._chunks, place = _chunks(pairs, rank, _PRODUCTS.get(self.device.type, 2**24))
        self._place = self._index(place)
        self._squares = _squared_norms(self.vectors)
        self._dots = torch.empty(len(pairs), dtype=torch.float64, device=self.device)
        self._distances = torch.empty_like(self._dots)
        for chunk in self._chunks:
            self._dots[chunk.pairs], self._distances[chunk.pairs] = self._measured(chunk, self.vectors, self._squares)

    def _sorted(self, vectors: np.ndarray) -> torch.Tensor:
        return self._tensor(np.asarray(vectors, dtype=np.float64)[self._by_type])

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        import torch

        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float64), device=self.device)

    def _index(self, array: np.ndarray) -> torch.Tensor:
        import torch

        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.int64), device=self.device)

    def _measured(self, chunk: _Chunk, vectors: torch.Tensor, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inner products and squared distances of a chunk's token pairs; one small matrix product per type pair.

        Where cancellation leaves fewer than about six digits of a distance, it is taken again from the difference itself.
        """
        import torch

        blocks = torch.empty(chunk.products, dtype=vectors.dtype, device=vectors.device)
        end = 0
        for first, rows, second, columns in chunk.slices:
            begin, end = end, end + rows * columns
            out = blocks[begin:end].view(rows, columns)
            torch.mm(vectors[first : first + rows], vectors[second : second + columns].T, out=out)
        dots = torch.take(blocks, self._place[chunk.pairs])
        a, b = self.a[chunk.pairs], self.b[chunk.pairs]
        total = squares[a] + squares[b]
        result = total - 2 * dots
        close = (result < 1e-9 * total).nonzero()[:, 0]
        if len(close):
            result[close] = ((vectors[a[close]] - vectors[b[close]]) ** 2).sum(1)
        return dots, result.clamp_(min=0)

    def pair_distances(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Each named distance of every token pair, shape (M,), between the vectors as they are."""
        names = tuple(names)

        def parts() -> Iterator[_Part]:
            for chunk in self._chunks:
                yield chunk, self._named(names, chunk, self._squares, self._dots[chunk.pairs], self._distances[chunk.pairs])

        return self._whole(names, parts())

    def replaced(self, vectors: np.ndarray, names: Iterable[str]) -> Moments:
        """Sums over cells for other vectors of the same tokens, shape (n, D)."""
        names, x = tuple(names), self._sorted(vectors)
        return self._moments(names, self._parts(names, x, moved=False))

    def _parts(self, names: tuple[str, ...], vectors: torch.Tensor, *, moved: bool) -> Iterator[_Part]:
        """Each chunk, and each named distance of its token pairs; ``moved``: by one vector for all tokens of an utterance."""
        import torch

        squares = _squared_norms(vectors)
        for chunk in self._chunks:
            dots, distances = self._measured(chunk, vectors, squares)
            if moved:
                # Tokens of one utterance got the same vector: their difference, hence every Euclidean distance, is what it was.
                distances = torch.where(self._same[chunk.pairs], self._distances[chunk.pairs], distances)
            yield chunk, self._named(names, chunk, squares, dots, distances)

    def _whole(self, names: tuple[str, ...], parts: Iterator[_Part]) -> dict[str, torch.Tensor]:
        import torch

        result = {name: torch.empty(len(self.pairs), dtype=torch.float64, device=self.device) for name in names}
        for chunk, named in parts:
            for name, values in named:
                result[name][chunk.pairs] = values
        return result

    def _moments(self, names: tuple[str, ...], parts: Iterator[_Part], *, squared: bool = True) -> Moments:
        sums = {name: np.empty(len(self.pairs.starts)) for name in names}
        squares = {name: np.empty(len(self.pairs.starts)) for name in names if squared}
        for chunk, named in parts:
            for name, values in named:
                sums[name][chunk.cells] = self.cell_sums(values, chunk.cells)
                if squared:
                    squares[name][chunk.cells] = self.cell_sums(values**2, chunk.cells)
        return Moments(sums, squares)

    def added(self, offsets: np.ndarray, names: Iterable[str]) -> Added:
        """The variant in which every token of utterance u has ``offsets[u]`` added; ``offsets`` has shape (U, D)."""
        return Added(self, self._tensor(offsets), tuple(names))

    def _named(
        self, names: Iterable[str], chunk: _Chunk, squares: torch.Tensor, dots: torch.Tensor, distances: torch.Tensor
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Each named distance in turn, so that whoever wants sums alone holds one at a time."""
        import torch

        cosine = None
        for name in names:
            if name in ("l2", "l2_standardised", "l2_whitened"):
                yield name, distances.sqrt()
            elif name == "mse":
                yield name, distances / self.dims
            else:
                if cosine is None:
                    size = squares.clamp(min=1e-300).rsqrt()
                    cosine = (1 - dots * size[self.a[chunk.pairs]] * size[self.b[chunk.pairs]]).clamp_(0, 2)
                if name == "cosine":
                    yield name, cosine
                elif name == "l2_unit":
                    yield name, (2 * cosine).sqrt()
                else:
                    yield name, torch.arccos(1 - cosine) / np.pi

    def cell_sums(self, values: torch.Tensor, cells: slice = slice(None)) -> np.ndarray:
        """Sum over each cell, or over each of some cells that follow each other, of the values of their token pairs."""
        if values.device.type == "cpu":
            starts = self.pairs.starts[cells]
            return np.add.reduceat(values.numpy(), starts - starts[0])
        import torch

        return torch.segment_reduce(values, "sum", lengths=self._lengths[cells]).cpu().numpy()


@dataclass(frozen=True)
class Moments:
    """Sums over the token pairs of each cell, by distance.

    Attributes
    ----------
    sums, squares : dict of str to ndarray, shape (C,)
        Of distances, and of their squares.
    """

    sums: dict[str, np.ndarray]
    squares: dict[str, np.ndarray]


class Added:
    """One variant of :class:`PairGeometry`: offsets per utterance, in their own order or permuted."""

    def __init__(self, geometry: PairGeometry, offsets: torch.Tensor, names: tuple[str, ...]) -> None:
        self.geometry, self.offsets, self.names = geometry, offsets, names

    def pair_distances(self, permutation: np.ndarray | None = None) -> dict[str, torch.Tensor]:
        """Each named distance of every token pair; utterance u is given the vector of ``permutation[u]``."""
        return self.geometry._whole(self.names, self._parts(permutation))

    def sums(self, permutation: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Sums over each cell, shape (C,), of each named distance."""
        return self.geometry._moments(self.names, self._parts(permutation), squared=False).sums

    def moments(self, permutation: np.ndarray | None = None) -> Moments:
        """The same and the sums of squares."""
        return self.geometry._moments(self.names, self._parts(permutation))

    def _parts(self, permutation: np.ndarray | None) -> Iterator[_Part]:
        geometry = self.geometry
        offsets = self.offsets if permutation is None else self.offsets[geometry._index(permutation)]
        vectors = offsets[geometry.utterance].add_(geometry.vectors)
        return geometry._parts(self.names, vectors, moved=True)


def _squared_norms(vectors: torch.Tensor) -> torch.Tensor:
    """Shape (n,); one pass, no array of squares."""
    import torch

    return torch.linalg.vector_norm(vectors, dim=1).square_()


@dataclass(frozen=True)
class _Chunk:
    """Some type pairs that follow each other.

    Attributes
    ----------
    slices : list of (first, rows, second, columns)
        The two slices of each type pair's block, among tokens sorted by type.
    products : int
        Inner products of all these blocks.
    pairs, cells : slice
        Their token pairs and cells.
    """

    slices: list[tuple[int, int, int, int]]
    products: int
    pairs: slice
    cells: slice


#: A chunk, and each named distance of its token pairs.
_Part = tuple[_Chunk, Iterator[tuple[str, "torch.Tensor"]]]


def _chunks(pairs: TokenPairs, rank: np.ndarray, products: int) -> tuple[list[_Chunk], np.ndarray]:
    """Type pairs in chunks of about so many products; ``rank`` is the place of each token among those sorted by type.

    Returns
    -------
    list of _Chunk
    ndarray of int, shape (M,)
        Place of each token pair among all blocks of its chunk laid end to end.
    """
    count = np.bincount(pairs.type, minlength=len(pairs.types))
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    type_a = np.array([pairs.type[first[0]] for _, first, _ in pairs.blocks])
    type_b = np.array([pairs.type[second[0]] for _, _, second in pairs.blocks])
    size = count[type_a] * count[type_b]
    begin = np.cumsum(size) - size
    # a chunk ends with the type pair in which a multiple of ``products`` is reached
    number = begin // products
    first_block = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(size))
    first_cell = np.searchsorted(pairs.cell_type_pair, first_block)
    first_pair = np.append(pairs.starts, len(pairs))[first_cell]
    slices = [tuple(one) for one in np.stack([start[type_a], count[type_a], start[type_b], count[type_b]], axis=1).tolist()]
    chunks = [
        _Chunk(
            slices[first_block[k] : first_block[k + 1]],
            int(size[first_block[k] : first_block[k + 1]].sum()),
            slice(int(first_pair[k]), int(first_pair[k + 1])),
            slice(int(first_cell[k]), int(first_cell[k + 1])),
        )
        for k in range(len(first_block) - 1)
    ]
    begin -= np.repeat(begin[first_block[:-1]], np.diff(first_block))
    code = np.repeat(pairs.cell_type_pair, pairs.cell_count)
    row, column = rank[pairs.a] - start[type_a[code]], rank[pairs.b] - start[type_b[code]]
    return chunks, begin[code] + row * count[type_b[code]] + column


class TokenDots:
    """Inner products of every two tokens in blocks of rows, as the vectors are and with vectors added per utterance.

    Parameters
    ----------
    vectors : ndarray, shape (n, D)
    utterance : ndarray of int, shape (n,)
        Row of the offsets that each token gets.
    device : str
    keep : bool
        Keep the n x n inner products of the vectors as they are, where they fit, for the next variant.
    """

    def __init__(self, vectors: np.ndarray, utterance: np.ndarray, device: str = "cpu", *, keep: bool = True) -> None:
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.vectors = torch.as_tensor(np.ascontiguousarray(vectors, dtype=np.float64), device=device)
        # a sample of tokens may come from few of the utterances: the offsets of the others are never touched
        self._used, codes = np.unique(np.asarray(utterance, dtype=np.int64), return_inverse=True)
        self.utterance = torch.as_tensor(codes, device=device)
        n = len(self.vectors)
        self._gram = self.vectors @ self.vectors.T if keep and n * n <= _MATRIX_LIMIT else None
        self._squares = _sums_of_squares(self.vectors)

    def squares(self, offsets: np.ndarray | None = None) -> np.ndarray:
        """Squared norms, shape (n,), with ``offsets`` of shape (U, D) added by utterance."""
        if offsets is None:
            return self._squares.cpu().numpy()
        return _sums_of_squares(self._added(offsets)).cpu().numpy()

    def rows(self, size: int = 2**20) -> list[np.ndarray]:
        """The rows of each block of about ``size`` products; of long rows more than that, so that a product pays its reading."""
        n = len(self.vectors)
        step = max(_FEWEST_ROWS, size // max(1, n))
        return [np.arange(start, min(n, start + step)) for start in range(0, n, step)]

    def block(self, rows: np.ndarray) -> np.ndarray:
        """Inner products of the tokens of one block, as the vectors are, with all tokens: shape (len(rows), n); not to be changed."""
        return self._plain(slice(rows[0], rows[-1] + 1)).cpu().numpy()

    def _plain(self, rows: slice) -> torch.Tensor:
        return self._gram[rows] if self._gram is not None else self.vectors[rows] @ self.vectors.T

    def blocks(self, offsets: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows, inner products with all tokens, shape (len(rows), n)), row after row, with ``offsets`` added by utterance."""
        if offsets is not None and 2 * len(self._used) > len(self.vectors):
            # about as many offsets as tokens: their products with each other would cost more than those of the sums
            vectors = self._added(offsets)
            for rows in self.rows():
                yield rows, (vectors[rows[0] : rows[-1] + 1] @ vectors.T).cpu().numpy()
            return
        if offsets is not None:
            added = self._tensor(offsets)
            cross = added @ self.vectors.T
            both = (added @ added.T)[:, self.utterance]
            spread = cross.T.contiguous()
        for rows in self.rows():
            if offsets is None:
                yield rows, self.block(rows)
                continue
            here = slice(rows[0], rows[-1] + 1)
            own = self.utterance[here]
            block = self._plain(here) + spread[here][:, self.utterance]  # a new array: the kept products are not to be changed
            block += cross[own]
            block += both[own]
            yield rows, block.cpu().numpy()

    def _added(self, offsets: np.ndarray) -> torch.Tensor:
        return self._tensor(offsets)[self.utterance].add_(self.vectors)

    def _tensor(self, offsets: np.ndarray) -> torch.Tensor:
        """The offsets of the utterances in use."""
        import torch

        used = np.asarray(offsets, dtype=np.float64)[self._used]
        return torch.as_tensor(used, device=self.vectors.device)


def _sums_of_squares(vectors: torch.Tensor) -> torch.Tensor:
    """Shape (n,), some rows at a time: no array of squares as large as the vectors."""
    import torch

    return torch.cat([(part**2).sum(1) for part in vectors.split(4096)])


def type_distances(
    vectors: np.ndarray, types: np.ndarray, distance: str = "l2", *, device: str = "cpu", chunk: int = 1024
) -> np.ndarray:
    """Mean distance between the tokens of every two types, shape (T, T); on the diagonal between two tokens of one type.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
    types : ndarray of int, shape (N,)
        Codes 0 ... T - 1; every code has a token. A type of a single token has NaN on the diagonal.
    distance : str
        ``l2``, ``l2_unit``, ``mse``, ``cosine`` or ``angular``.
    chunk : int
        Tokens per block: memory is ``chunk * N`` floats.

    Notes
    -----
    ``mse`` and ``cosine`` need no pair of tokens at all: with the sums ``S_t`` and ``Q_t = sum ||x||^2`` over the ``n_t`` tokens
    of type t, the mean of ``||x - y||^2`` is ``Q_t/n_t + Q_r/n_r - 2 <S_t, S_r> / (n_t n_r)``, O(N D + T^2 D). The others go
    through blocks of the upper half of the Gram matrix of tokens sorted by type, float32 after the corpus mean is removed.
    """
    import torch

    types = np.asarray(types)
    counts = np.bincount(types).astype(np.float64)
    if (counts == 0).any():
        raise SeparationError(f"Type code {int(np.argmin(counts))} has no token; number the types 0 ... T - 1 without gaps.")
    order = np.argsort(types, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    x = torch.as_tensor(np.ascontiguousarray(np.asarray(vectors)[order], dtype=np.float32), device=device)
    own = counts * (counts - 1)
    angles = distance in ("cosine", "l2_unit", "angular")
    x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-30) if angles else x - x.mean(0)
    if distance in ("mse", "cosine"):
        sums = np.add.reduceat(x.double().cpu().numpy(), starts, axis=0)
        squares = np.add.reduceat((x.double() ** 2).sum(1).cpu().numpy(), starts)
        product = sums @ sums.T
        mean = squares / counts
        with np.errstate(invalid="ignore", divide="ignore"):
            result = mean[:, None] + mean[None, :] - 2 * product / np.outer(counts, counts)
            within = 2 * (counts * squares - np.diagonal(product)) / own
        np.fill_diagonal(result, within)
        return result / (x.shape[1] if distance == "mse" else 2)
    squares = (x**2).sum(1)
    n, n_types = len(x), len(counts)
    kind = torch.as_tensor(types[order].astype(np.int64), device=device)
    bounds = np.concatenate([starts, [n]])
    total = torch.zeros((n_types, n_types), dtype=torch.float64, device=device)
    block = torch.empty((min(chunk, n), n), dtype=torch.float32, device=device)
    for start in range(0, n, chunk):
        stop = min(start + chunk, n)
        # Only columns from the first token of this chunk's first type on: types below were summed before, by symmetry.
        first = int(starts[int(kind[start])])
        part = block[: stop - start, : n - first]
        torch.mm(x[start:stop], x[first:].T, out=part)
        if distance == "angular":
            part.clamp_(-1, 1).arccos_().div_(np.pi)
        else:
            part.mul_(-2).add_(squares[start:stop, None]).add_(squares[None, first:]).clamp_(min=0).sqrt_()
        rows = torch.arange(start, stop, device=device)
        part[rows - start, rows - first] = 0
        present = int(kind[start])
        edges = torch.as_tensor(bounds[present:] - first, device=device)
        lengths = (edges[1:] - edges[:-1]).to(torch.int64)
        by_row = torch.segment_reduce(part, "sum", lengths=lengths.expand(len(part), -1).contiguous(), axis=1)
        low, high = int(kind[start]), int(kind[stop - 1]) + 1
        target = total[low:high, present:]
        target.index_add_(0, kind[start:stop] - low, by_row.double())
    result = total.cpu().numpy()
    upper = np.triu(result, 1)
    result = upper + upper.T + np.diag(np.diagonal(result))
    denominator = np.outer(counts, counts)
    np.fill_diagonal(denominator, own)
    with np.errstate(invalid="ignore", divide="ignore"):
        return result / denominator


def mapped(vectors: np.ndarray, matrix: np.ndarray | Mapping | None) -> np.ndarray:
    """``vectors`` under a map of :class:`Whitening` (a matrix or a diagonal), or as they are."""
    if matrix is None:
        return vectors
    return vectors * matrix if matrix.ndim == 1 else vectors @ matrix
