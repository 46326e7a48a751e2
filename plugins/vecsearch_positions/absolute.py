"""Encoders that add a vector for the absolute place in the passage: sinusoidal and learned.

Both compute x = norm(u + α·P[pos]) and differ in where the table P comes from.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch import VectorsError
from vecsearch_positions.arguments import Floats, Offsets, contiguous, number, whole_number

__all__ = ["LearnedEncoder", "SinusoidalEncoder", "sinusoids"]

_BLOCK_VALUES = 1 << 18  # float32 values handled at a time: temporaries stay near the second-level cache
_NEGLIGIBLE = 1e-6
_KEPT_PLACES = 1024
_LARGEST = 1e15  # squares of larger values would overflow float32


class SinusoidalEncoder:
    """Add sines and cosines of the place in the passage.

    x = norm(u + α·PE(pos)),  PE(pos)_{2k} = sin(pos / 10000^{2k/dim}) / √(dim/2),
                              PE(pos)_{2k+1} = cos(pos / 10000^{2k/dim}) / √(dim/2)

    The sines and cosines are those of Vaswani et al. 2017 (Attention is all you need, §3.5), pos from 0. There they
    are added to embeddings multiplied by √dim (§3.4); here to unit rows u, so they are divided by their own length,
    √(dim/2), which is the same for every place: at α = 1 the word and its place weigh the same. Undivided they would
    drown the word at dim 256, where their length is 11.3.

    A zero row stays zero: a token without meaning does not become its place. So does, for the word's sake, a row
    that its place cancels wholly: x = u where ‖u + α·PE‖ < 1e-6. An odd ``dim`` ends with a sine.

    It is not shift-invariant: a phrase matches itself best where it stands at the same place of its passage. Weights
    do not enter.

    Args:
        alpha: α ≥ 0; 0 equals ``none``.

    Raises:
        ValueError: ``alpha`` is negative or not a number.

    Example:
        In two dimensions PE(0) = (sin 0, cos 0) = (0, 1) and PE(1) = (sin 1, cos 1) = (.8415, .5403), of length 1.
        The same word (1, 0) at both places becomes (1, 1)/√2 and (1.8415, .5403)/1.9191.

        >>> import numpy as np
        >>> units = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
        >>> x = SinusoidalEncoder(alpha=1.0).encode(units, np.ones(2, np.float32), np.array([0, 2]))
        >>> print(x.round(4))
        [[0.7071 0.7071]
         [0.9595 0.2815]]
    """

    name: ClassVar[str] = "sinusoidal"
    version: ClassVar[str] = "1"

    def __init__(self, *, alpha: float = 1.0) -> None:
        self._alpha = number("alpha", alpha, low=0.0)
        self._kept: dict[int, Floats] = {}

    @property
    def config(self) -> Mapping[str, Any]:
        """``alpha``."""
        return {"alpha": self._alpha}

    @property
    def files(self) -> Mapping[str, str]:
        """No files are read."""
        return {}

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:  # noqa: ARG002 - the protocol's arguments
        """Return norm(u + α·PE(pos)) for every token of a flat batch.

        Returns:
            float32 ``(n_tokens, dim)``, unit rows, zero where ``units`` is zero.
        """
        units = contiguous(units)
        dim = units.shape[1]
        if dim not in self._kept:
            self._kept[dim] = sinusoids(np.arange(_KEPT_PLACES), dim)
        table = self._kept[dim]

        def rows(places: Offsets) -> Floats:
            return table[places] if places.max() < len(table) else sinusoids(places, dim)

        return _with_places(units, offsets, self._alpha, rows)


class LearnedEncoder:
    """Add a vector of a table, one row a place.

    x = norm(u + α·P[pos]), P read from a file. Places past the table take its last row: they are told from the places
    before, not from each other. A zero row of ``units`` stays zero, and x = u where ‖u + α·P[pos]‖ < 1e-6.

    Learned position tables are those of Gehring et al. 2017 (Convolutional sequence to sequence learning, §3.1), which
    Vaswani et al. 2017 compare with sinusoids (§3.5). The table can come from any model of the same ``dim``, or from
    ``fit``, which sees what the user's own words look like at each place. It is not trained for a task, and not
    shift-invariant. Weights do not enter.

    Args:
        path: a .npy or .safetensors file of one matrix, floats ``(n_positions, dim)``. Nothing is unpickled.
        alpha: α ≥ 0; 0 equals ``none``.

    Raises:
        ValueError: no such file, another kind of file, not exactly one matrix of finite floats, or ``alpha`` negative.

    Example:
        A table of two places; the third token takes the second row. (1, 0) + (0, 1) has length √2; (1, 0) + (1, 0)
        only has its length taken away.

        >>> import numpy as np, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "table.npy")
        >>> np.save(path, np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32))
        >>> units = np.array([[1.0, 0.0]] * 3, dtype=np.float32)
        >>> x = LearnedEncoder(path=path).encode(units, np.ones(3, np.float32), np.array([0, 3]))
        >>> print(x.round(4))
        [[0.7071 0.7071]
         [1.     0.    ]
         [1.     0.    ]]
    """

    name: ClassVar[str] = "learned"
    version: ClassVar[str] = "1"

    def __init__(self, *, path: str, alpha: float = 1.0) -> None:
        self._alpha = number("alpha", alpha, low=0.0)
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise ValueError(f"path must name a .npy or .safetensors file of positions, not {path!r}")
        self._path = os.fspath(path)
        self._table = _read_table(Path(self._path))

    @property
    def config(self) -> Mapping[str, Any]:
        """``path`` and ``alpha``."""
        return {"path": self._path, "alpha": self._alpha}

    @property
    def files(self) -> Mapping[str, str]:
        """The table."""
        return {"path": self._path}

    @classmethod
    def fit(
        cls,
        units: Floats,
        offsets: Offsets,
        *,
        path: str,
        alpha: float = 1.0,
        n_positions: int = 256,
        smoothing: float = 4.0,
    ) -> LearnedEncoder:
        """Make a table from vectors of one's own text, write it, and return an encoder that uses it.

        P[p] is the mean of the rows seen at places near p (weighed by a Gaussian of width ``smoothing``) less the mean
        of all rows; then the whole table is scaled so that the row of an average token has length 1 (root mean
        square), which makes α comparable with that of ``sinusoidal``: the differences themselves are small (.05 to .1
        for WordLlama rows), and unscaled they would hardly tell one order from another. Zero rows are left out.

        Args:
            units: float32 ``(n_tokens, dim)``, unit or zero rows, as ``encode`` gets them.
            offsets: int64 ``(n_passages + 1,)``.
            path: where to write the table; ends in .npy.
            alpha: α of the encoder.
            n_positions: rows at most; fewer where no passage is that long.
            smoothing: width of the Gaussian in places, ≥ 0; 0 means none.

        Raises:
            ValueError: an argument out of its range, or no token with a meaning.

        Example:
            Two passages of two words each, (1, 0) always first and (0, 1) always second: the mean is (½, ½), so the
            places differ from it by (½, −½) and (−½, ½), both of length √½, and are scaled to length 1.

            >>> import numpy as np, tempfile, os
            >>> path = os.path.join(tempfile.mkdtemp(), "table.npy")
            >>> units = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.float32)
            >>> encoder = LearnedEncoder.fit(units, np.array([0, 2, 4]), path=path, smoothing=0)
            >>> print(np.load(path).round(4))
            [[ 0.7071 -0.7071]
             [-0.7071  0.7071]]
        """
        number("alpha", alpha, low=0.0)
        n_positions = whole_number("n_positions", n_positions, low=1)
        smoothing = number("smoothing", smoothing, low=0.0)
        if Path(path).suffix != ".npy":
            raise ValueError(f"path must end in .npy, not {path!r}")
        table = _fit_table(contiguous(units), offsets, n_positions, smoothing)
        with open(path, "wb") as stream:
            np.save(stream, table, allow_pickle=False)
        return cls(path=path, alpha=alpha)

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:  # noqa: ARG002 - the protocol's arguments
        """Return norm(u + α·P[pos]) for every token of a flat batch.

        Returns:
            float32 ``(n_tokens, dim)``, unit rows, zero where ``units`` is zero.

        Raises:
            VectorsError: the table's rows have another length than the vectors.
        """
        units = contiguous(units)
        table = self._table
        if units.shape[1] != table.shape[1]:
            raise VectorsError(
                f"the positions in {self._path} have {table.shape[1]} dimensions and the vectors {units.shape[1]}; "
                f"fit a table on vectors of this embedder",
                dim=units.shape[1],
                table_dim=table.shape[1],
                path=self._path,
            )
        return _with_places(units, offsets, self._alpha, lambda places: table[np.minimum(places, len(table) - 1)])


def sinusoids(places: npt.ArrayLike, dim: int) -> Floats:
    """Return PE of ``SinusoidalEncoder`` for some places, float32 ``(n_places, dim)``, computed in float64.

    Example:
        >>> print(sinusoids([0, 1], 4).round(4))
        [[0.     0.7071 0.     0.7071]
         [0.595  0.3821 0.0071 0.7071]]
    """
    angles = np.multiply.outer(np.asarray(places, dtype=np.float64), 10000.0 ** (-np.arange(0, dim, 2) / dim))
    result = np.empty((len(angles), dim), dtype=np.float64)
    result[:, 0::2] = np.sin(angles)
    result[:, 1::2] = np.cos(angles)[:, : dim // 2]
    return (result / math.sqrt(dim / 2)).astype(np.float32)


def _with_places(units: Floats, offsets: Offsets, alpha: float, rows: Callable[[Offsets], Floats]) -> Floats:
    n_tokens, dim = units.shape
    if alpha == 0.0 or n_tokens == 0:
        return units.copy()
    # invariant: α enters by its ratio to 1 only; above 1 the words are divided instead, so that nothing overflows.
    scale, keep = np.float32(min(alpha, 1.0)), np.float32(min(1.0 / alpha, 1.0))
    places = np.arange(n_tokens) - np.repeat(offsets[:-1], np.diff(offsets))
    out = np.empty_like(units)
    step = max(_BLOCK_VALUES // dim, 32)
    for start in range(0, n_tokens, step):
        block = slice(start, start + step)
        own, mixed = units[block], out[block]
        np.multiply(rows(places[block]), scale, out=mixed)
        mixed += own if keep == 1.0 else own * keep
        norms = np.sqrt(np.vecdot(mixed, mixed))
        is_mixed = (norms > _NEGLIGIBLE * keep) & (np.vecdot(own, own) > 0.0)
        np.multiply(mixed, np.divide(1.0, norms, out=np.zeros_like(norms), where=is_mixed)[:, None], out=mixed)
        if not is_mixed.all():
            np.copyto(mixed, own, where=~is_mixed[:, None])
    return out


def _fit_table(units: Floats, offsets: Offsets, n_positions: int, smoothing: float) -> Floats:
    places = np.arange(len(units)) - np.repeat(offsets[:-1], np.diff(offsets))
    has_meaning = np.vecdot(units, units) > 0.0
    n_meaningful = int(has_meaning.sum())
    if n_meaningful == 0:
        raise ValueError("cannot fit positions: no token of the given text has a vector; give more text")
    mean = units.sum(axis=0, dtype=np.float64) / n_meaningful
    n_rows = min(n_positions, int(places[has_meaning].max()) + 1)
    # Tokens in the order of their places, so that each place is one run: add up run by run, in float64.
    kept = np.flatnonzero(has_meaning & (places < n_rows))
    by_place = kept[np.argsort(places[kept], kind="stable")]
    counts = np.bincount(places[kept], minlength=n_rows).astype(np.float64)
    sums = np.zeros((n_rows, units.shape[1]))
    ends = np.cumsum(counts).astype(np.int64)
    for place in range(n_rows):
        sums[place] = units[by_place[ends[place] - int(counts[place]) : ends[place]]].sum(axis=0, dtype=np.float64)
    sums -= counts[:, None] * mean
    distances = np.subtract.outer(np.arange(n_rows), np.arange(n_rows))
    shares = np.exp(-0.5 * (distances / smoothing) ** 2) if smoothing > 0.0 else np.eye(n_rows)
    totals = shares @ counts
    # A place where only words without meaning were seen, and none near it, adds nothing.
    table = np.divide(shares @ sums, totals[:, None], out=np.zeros_like(sums), where=totals[:, None] > 0.0)
    length = math.sqrt(float(counts @ np.vecdot(table, table)) / float(counts.sum()))
    # Where all places look alike there is nothing to add, and nothing to blow up to length 1.
    return (table / length if length > _NEGLIGIBLE else np.zeros_like(table)).astype(np.float32)


def _read_table(path: Path) -> Floats:
    if path.suffix not in (".npy", ".safetensors"):
        raise ValueError(f"path must name a .npy or .safetensors file of positions, not {str(path)!r}")
    try:
        if path.suffix == ".npy":
            # subtle: mapped, so that a header that promises more than the file holds costs no memory
            found = np.asarray(np.lib.format.open_memmap(path, mode="r"))
        else:
            from safetensors.numpy import load_file

            tensors = load_file(path)
            if len(tensors) != 1:
                raise ValueError(f"it holds {len(tensors)} tensors, not one: {', '.join(sorted(tensors)) or 'none'}")
            (found,) = tensors.values()
    except FileNotFoundError as error:
        raise ValueError(f"there is no file of positions {str(path)!r}") from error
    except Exception as error:  # NumPy, safetensors and the system each have their own for a broken file
        raise ValueError(f"cannot read positions from {str(path)!r}: {error}") from error
    if found.ndim != 2 or found.shape[0] == 0 or found.shape[1] == 0 or found.dtype.kind != "f":
        raise ValueError(
            f"positions must be one matrix of floats (n_positions, dim), "
            f"not {found.dtype} {found.shape} in {str(path)!r}"
        )
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(found, dtype=np.float32)
    if not (np.abs(table) <= _LARGEST).all():  # NaN is refused as well
        raise ValueError(f"the positions in {str(path)!r} are not all finite and below {_LARGEST:g}")
    return table
