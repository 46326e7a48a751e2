from pathlib import Path

import numpy as np
import pytest

from vecsearch.cli import arrays
from vecsearch.errors import VectorsError


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_vectors_are_read_as_they_were_written(tmp_path: Path) -> None:
    wanted = np.arange(6, dtype=np.float32).reshape(3, 2)
    arrays.write_array(tmp_path / "v.npy", wanted)
    found = arrays.read_vectors(tmp_path / "v.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.npy", np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="Object arrays"):
        arrays.write_array(path, np.array([object()]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.load(path), np.ones((1, 2), np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3)), "holds float64 of shape (2, 3); vectors must be float32 (n_tokens, dim)"),
        (np.zeros(3, np.float32), "float32 of shape (3,)"),
        (np.zeros((1, 2, 3), np.float32), "float32 of shape (1, 2, 3)"),
        (np.array([[1, np.nan]], np.float32), "holds nan at (0, 1); every number must be finite"),
        (np.array([[1, 2], [-np.inf, 0]], np.float32), "holds -inf at (1, 0)"),
        (np.array([["a"]]), "holds <U1"),
    ],
)
def test_other_than_finite_float32_vectors_are_refused_with_what_they_are(
    tmp_path: Path, array: np.ndarray, said: str
) -> None:
    with pytest.raises(VectorsError) as caught:
        arrays.read_vectors(saved(tmp_path / "v.npy", array))
    assert said in caught.value.message
    assert caught.value.facts["path"] == str(tmp_path / "v.npy")


def test_pickled_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (ran,)

    array = np.empty(1, object)
    array[0] = Hostile()
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(VectorsError, match=r"is not a \.npy file of numbers"):
        arrays.read_vectors(tmp_path / "v.npy")
    (tmp_path / "p.npy").write_bytes((tmp_path / "v.npy").read_bytes()[128:])
    with pytest.raises(VectorsError, match=r"is not a \.npy file of numbers"):
        arrays.read_vectors(tmp_path / "p.npy")
    assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello", b'{"id": "1"}\n'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(VectorsError, match=r"is not a \.npy file of numbers"):
        arrays.read_vectors(tmp_path / "v.npy")


def test_a_file_that_promises_more_than_it_holds_is_refused_without_making_room(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    saved(path, np.zeros((2, 2), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(2, 2), }" + b" " * 20, b"(2, 2000000000000), }".ljust(29)))
    assert b"2000000000000" in path.read_bytes()
    with pytest.raises(VectorsError, match=r"is not a \.npy file of numbers"):
        arrays.read_vectors(path)


def test_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", a=np.zeros(1))
    with pytest.raises(VectorsError, match="is an archive of arrays"):
        arrays.read_vectors(tmp_path / "v.npz")


def test_token_ids_of_any_integer_type_become_int32(tmp_path: Path) -> None:
    found = arrays.read_ids(saved(tmp_path / "i.npy", np.array([0, 7, 2**31 - 1], np.int64)), 3)
    assert found.dtype == np.int32
    assert found.tolist() == [0, 7, 2**31 - 1]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([1.0, 2.0]), "holds float64; token ids must be integers"),
        (np.array([1, 2, 3]), r"holds token ids of shape \(3,\) for 2 vectors"),
        (np.array([-1, 2]), "holds token ids from -1 to 2; allowed are 0 to 2147483647"),
        (np.array([1, 2**31]), "from 1 to 2147483648"),
    ],
)
def test_wrong_token_ids_are_refused(tmp_path: Path, array: np.ndarray, said: str) -> None:
    with pytest.raises(VectorsError, match=said):
        arrays.read_ids(saved(tmp_path / "i.npy", array), 2)


def test_a_query_may_have_tokens_without_an_id(tmp_path: Path) -> None:
    assert arrays.read_ids(saved(tmp_path / "i.npy", np.array([-1, 2])), 2, lowest=-1).tolist() == [-1, 2]


@pytest.mark.parametrize("wrong", [[1, 5], [0, 4], [0, 3, 2, 5], [], [[0, 5]]])
def test_offsets_that_do_not_part_the_vectors_are_refused(tmp_path: Path, wrong: list[int]) -> None:
    with pytest.raises(VectorsError, match="offsets of shape"):
        arrays.read_offsets(saved(tmp_path / "o.npy", np.array(wrong, np.int64)), 5)


def test_three_dimensional_vectors_are_documents_of_one_length() -> None:
    flat, offsets = arrays.documents_apart(np.arange(12, dtype=np.float32).reshape(2, 3, 2), None)
    assert flat.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert offsets.tolist() == [0, 3, 6]
