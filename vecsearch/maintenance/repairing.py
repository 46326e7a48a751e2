"""Making a damaged index whole again from what can be read; the old one is kept, and stays until the new is verified.

Vectors, codes and the codebook are made from tokens, and tokens, keywords, counts and samples from texts. So where
only files are damaged, compacting mends them in place. Where the database is, a new index is made beside the old one,
passage by passage as it was, verified, and put in its place; the old folder is kept aside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from vecsearch.embedding_cache import default_cache
from vecsearch.errors import IndexDamagedError, StorageError, VectorsError
from vecsearch.fitting import fit_pca
from vecsearch.identity import check_identity
from vecsearch.index import Index
from vecsearch.maintenance import folders
from vecsearch.maintenance.verifying import Verification, verify
from vecsearch.pipeline import Pipeline, load_pipeline
from vecsearch.precision import RowFormat
from vecsearch.stores.carving import Carver
from vecsearch.stores.copying import quiet, raise_generation
from vecsearch.stores.last_commit import forget_last_commit
from vecsearch.stores.locking import lock_folder
from vecsearch.stores.salvage import FoundDocument, LostDocument, Salvage
from vecsearch.stores.schema import translated
from vecsearch.stores.verification import LOG_NAME, Damage
from vecsearch.taking_over import Kept
from vecsearch.types import Document, FileRecord

__all__ = ["Repair", "repair"]

_NAMED = 10

Source: TypeAlias = Salvage | Carver


@dataclass(frozen=True)
class Repair:
    """What was done.

    Attributes:
        path: of the index.
        action: ``"none"``: it was sound; ``"accepted"``: it had lost its last commits, and goes on without them;
            ``"compacted"``: its files were written anew; ``"rebuilt"``: all of it was;
            ``"finished"``: a repair that was interrupted at its end.
        damages: what was found before.
        n_documents: that the index has now.
        lost: documents that could not be had back; their text may be in ``kept``, damaged.
        holes: what could not be read at all.
        kept: the folder with the damaged index, where it was rebuilt.
    """

    path: Path
    action: Literal["none", "accepted", "compacted", "rebuilt", "finished"]
    damages: Sequence[Damage] = ()
    n_documents: int = 0
    lost: Sequence[LostDocument] = ()
    holes: Sequence[str] = ()
    kept: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what was done, JSON-ready."""
        return {
            "path": str(self.path),
            "action": self.action,
            "damages": [damage.to_dict() for damage in self.damages],
            "n_documents": self.n_documents,
            "lost": [{"id": one.id, "why": one.why, "file": _path_of(one)} for one in self.lost],
            "holes": list(self.holes),
            "kept": None if self.kept is None else str(self.kept),
        }


def _path_of(lost: LostDocument) -> str | None:
    return None if lost.file is None else str(Path(*lost.file))


def repair(path: str | os.PathLike[str], *, drop: bool = False, pipeline: Pipeline | None = None) -> Repair:
    """Make a damaged index whole again.

    Args:
        path: of its folder.
        drop: leave out documents that cannot be had back. The files they came from are read again by the next
            ``vecsearch index``.
        pipeline: that the index was made with; needed where its manifest cannot be read.

    Raises:
        IndexDamagedError: documents cannot be had back, and ``drop`` is not given: nothing was changed, ``lost`` names
            them; or the database or its manifest cannot be read at all.
        IndexLockedError: somebody writes the index or has it open.
        IndexNotFoundError: there is none.
        IdentityError, PluginNotFoundError: the pipeline is not the one that the index was made with, or is not
            installed.
        StorageError, IndexReadOnlyError: the file system refused; the index is as it was.
    """
    folder = Path(path)
    if folders.finish_interrupted(folder):
        return Repair(folder, "finished", n_documents=_count(folder))
    found = verify(folder, deep=True)
    if found.is_sound:
        return Repair(folder, "none", n_documents=_count(folder))
    if any(damage.place == LOG_NAME for damage in found.damages):
        _accept(folder)
        rest = verify(folder, deep=True)
        if rest.is_sound:
            return Repair(folder, "accepted", found.damages, _count(folder))
    else:
        rest = found
    if rest.mend == "compact":
        with Index.open(folder, pipeline=pipeline) as index:
            index.compact()
            with _written_anew(folder):
                n_documents = index.info()["n_documents"]
        with _written_anew(folder):
            written = verify(folder, deep=True)
        _require_sound(written, is_committed=True)
        return Repair(folder, "compacted", found.damages, n_documents)
    return _rebuilt(folder, found, drop, pipeline)


@contextlib.contextmanager
def _written_anew(folder: Path) -> Iterator[None]:
    """Let what fails after the files of an index were written anew say that they are."""
    try:
        yield
    except (StorageError, IndexDamagedError) as error:
        raise type(error)(
            f"index {folder}: that its files are written anew is committed, but they could not be verified: "
            f"{error.message}; `vecsearch verify --deep -i {folder.name}` does that",
            path=str(folder),
        ) from error


def _accept(folder: Path) -> None:
    """Go on without commits that are lost."""
    with translated(folder):
        lock = lock_folder(folder)
        try:
            forget_last_commit(folder)
        finally:
            lock.release()


def _count(folder: Path) -> int:
    with Salvage(folder) as salvage:
        return salvage.counter("n_documents")


def _rebuilt(folder: Path, found: Verification, drop: bool, pipeline: Pipeline | None) -> Repair:
    if not (folder / "meta.db").exists():
        raise _hopeless(folder, "its database is gone")
    # subtle: each reader is closed before the folders change places, as SQLite removes its log by its path
    with quiet(folder):
        with _open(folder) as source:
            manifest, generation = source.manifest(), source.counter("generation")
            artefacts = source.artefacts()
            if isinstance(source, Carver) and not any(True for _ in source.documents()):
                raise _hopeless(folder, "no document of it can be read")
            pipeline = _checked_pipeline(folder, manifest, artefacts, source, pipeline)
        with _best(folder, pipeline.row_format if pipeline.is_given else None) as source:
            lost = [one for one in source.documents() if isinstance(one, LostDocument)]
            if lost and not drop:
                raise _some_lost(folder, lost)
            new = folders.begin(folder, "repairing")
            try:
                n_documents = _make(new, source, pipeline, lost)
            except BaseException:
                shutil.rmtree(new.parent, ignore_errors=True)
                raise
            holes = list(dict.fromkeys(source.holes))
        raise_generation(new, generation)
        _require_sound(verify(new, deep=True))
        kept = folders.install(new, folder, "damaged")
    return Repair(folder, "rebuilt", found.damages, n_documents, lost, holes, kept)


def _open(folder: Path, given: RowFormat | None = None) -> Source:
    """Return what reads a damaged index: SQLite, or where that cannot open it, what does without."""
    try:
        salvage = Salvage(folder, given=given)
    except IndexDamagedError:
        return Carver(folder, given=given)
    if salvage.manifest().get("configuration") is None:
        salvage.close()
        return Carver(folder, given=given)
    return salvage


def _best(folder: Path, given: RowFormat | None) -> Source:
    """Return what reads most of a damaged index."""
    source = _open(folder, given)
    if isinstance(source, Carver):
        return source
    n_found = sum(isinstance(one, FoundDocument) for one in source.documents())
    if not source.holes:
        return source
    # a page that leads to others is damaged: they may be whole
    carver = Carver(folder, given=given, names=source.names())
    if sum(isinstance(one, FoundDocument) for one in carver.documents()) > n_found:
        source.close()
        return carver
    carver.close()
    return source


def _make(new: Path, source: Source, pipeline: Pipeline, lost: Sequence[LostDocument]) -> int:
    with Index.create(new, pipeline=pipeline) as index:
        report = index.take_over(_kept(source), _read_completely(source, lost))
        index.index_metadata(*source.indexed_metadata())
        index.flush()
        return report.n_documents


def _kept(source: Source) -> Iterator[Kept]:
    for one in source.documents():
        if isinstance(one, FoundDocument):
            document = Document(
                one.id,
                one.text,
                title=one.title,
                metadata=one.metadata,
                vectors=one.vectors,
                token_ids=one.token_ids,
            )
            yield Kept(document, one.starts, one.content_hash, one.file)


def _read_completely(source: Source, lost: Sequence[LostDocument]) -> list[FileRecord]:
    """Return the files that need not be read again; where a lost document's file is not known, each may be its own."""
    if any(one.file is None and one.why.endswith("be read") for one in lost):
        return []
    again = {one.file for one in lost}
    return [record for record in source.files() if (record.root, record.path) not in again]


def _checked_pipeline(
    folder: Path, manifest: dict[str, Any], artefacts: dict[str, bytes], source: Source, given: Pipeline | None
) -> Pipeline:
    configuration, identity = manifest.get("configuration"), manifest.get("identity")
    if given is None and not (isinstance(configuration, dict) and isinstance(identity, dict)):
        raise IndexDamagedError(
            f"the manifest of index {folder} cannot be read, so what the index was made with is not known; say so: "
            f"`vecsearch repair -i {folder.name} --embedder NAME`, with the other options that it was made with",
            path=str(folder),
        )
    try:
        pipeline = given or load_pipeline(configuration or {}, artefacts=artefacts)
    except VectorsError:
        # all is embedded anew, so what was fitted and is lost can be fitted anew as well
        return _fitted_anew(configuration or {}, source)
    if isinstance(identity, dict):
        check_identity(folder, identity, pipeline.identity)
    return pipeline


def _fitted_anew(configuration: dict[str, Any], source: Source) -> Pipeline:
    config = configuration["embedder"]["config"]
    pipeline = load_pipeline({**configuration, "embedder": config["embedder"]})
    documents = (Document(one.id, one.text, one.title) for one in source.documents() if isinstance(one, FoundDocument))
    return fit_pca(pipeline, documents, config["dim"], default_cache())


def _require_sound(found: Verification, *, is_committed: bool = False) -> None:
    if not found.is_sound:
        committed = ", and is committed," if is_committed else ""
        raise IndexDamagedError(
            f"what was written anew of {found.path}{committed} is damaged as well: {found.damages[0].what}; "
            f"`vecsearch doctor` looks at the disk",
            path=str(found.path),
        )


def _some_lost(folder: Path, lost: Sequence[LostDocument]) -> IndexDamagedError:
    named = [f"{one.id!r:.80}: {one.why}" for one in lost if one.id is not None]
    n_more = len(lost) - len(named[:_NAMED])
    more = f", and {n_more} more" if named and n_more else "" if named else f"{n_more} whose ids cannot be read"
    what = "1 document" if len(lost) == 1 else f"{len(lost)} documents"
    return IndexDamagedError(
        f"{what} of index {folder} cannot be had back: {', '.join(named[:_NAMED])}{more}; nothing was changed; "
        f"`vecsearch restore BACKUP -i {folder.name} --force` brings a backup back, "
        f"`vecsearch repair -i {folder.name} --drop` rebuilds the index without them and keeps the damaged folder",
        path=str(folder),
        lost=[{"id": one.id, "why": one.why, "file": _path_of(one)} for one in lost],
    )


def _hopeless(folder: Path, why: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"index {folder} cannot be repaired: {why}; `vecsearch restore BACKUP -i {folder.name} --force` brings a "
        f"backup back, else index the sources again under another name",
        path=str(folder),
    )
