"""Which segments of codes become one: so many that there are few, and never many codes for few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from vecsearch.precision import RowFormat
from vecsearch.stores.coding import Coder
from vecsearch.stores.disk import Disk
from vecsearch.stores.files import StoredFile
from vecsearch.stores.segments import SegmentRecord


@pytest.mark.parametrize(
    ("sizes", "gathered"),
    [
        ([], []),
        ([70], []),
        ([1_000, 100], []),  # to move a thousand for a hundred costs too much
        ([150, 100], [100, 150]),
        ([80, 194, 204, 202, 1_034], [80, 194, 202, 204, 1_034]),  # although 194 is more than twice 80
        ([80, 194, 5_000], []),
        ([80, 100, 5_000], [80, 100]),
        ([4_000_000, 3_000_000, 90], []),  # together more than a segment may have
    ],
)
def test_small_segments_are_gathered(tmp_path: Path, sizes: list[int], gathered: list[int]) -> None:
    coder = Coder(
        Database(memory=True), Disk(tmp_path), lambda batch: np.zeros((0, 4), np.float32), RowFormat(4), 1_000_000_000
    )
    records = [
        (number, SegmentRecord(StoredFile(f"{number}.codes", "", 0, b""), size, 4, codebook_no=1))
        for number, size in enumerate(sizes)
    ]
    vectors = (99, SegmentRecord(StoredFile("vectors.segment", "", 0, b""), 10, 4))
    assert [record.n_vectors for _, record in coder.gatherable([*records, vectors])] == gathered
