"""Finds the files of a folder that are worth reading, and says of the others why not.

Only names and what ``stat`` tells are looked at: no file is opened here but ``.gitignore`` and ``.git/info/exclude``.
Links are never followed inside a folder, so that nothing outside of it is read, nothing is read twice and nothing
goes round in circles.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vecsearch.errors import LoadError, UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

__all__ = ["MAX_BYTES", "Found", "Skipped", "opener", "reason_of", "root_of", "walk"]

MAX_BYTES = 50_000_000
"""Files found in a folder are skipped beyond this size unless the caller says otherwise."""

_LARGEST_IGNORE_FILE = 1_000_000
_MOST_PATTERNS = 10_000
_MOST_BACKTRACKING = 2
"""Of patterns of .gitignore: they become regular expressions, which try every way to share a name among stars."""
_STARS = re.compile(r"(\\.)|\*+")

_BINARY = frozenset(
    """
    .7z .a .aac .aiff .apk .avi .avif .bin .blend .bmp .br .bz2 .cab .ckpt .class .cur .db .db3 .deb .dll .dmg .doc
    .docx .dylib .ear .egg .elc .eot .eps .epub .exe .fbx .flac .flv .gif .glb .gpg .gz .h5 .hdf5 .heic .ico .icns .img
    .iso .jar .jfif .jpeg .jpg .jxl .key .ko .lib .lz4 .lzma .m4a .m4v .mid .mkv .mo .mobi .mov .mp3 .mp4 .mpeg .mpg
    .msi .ncx .node .npy .npz .numbers .o .obj .odp .ods .odt .ogg .ogv .onnx .opus .otf .pack .pages .parquet .pcap
    .pdb .pdf .pickle .pkl .png .ppt .pptx .psd .pt .pth .pyc .pyd .pyo .rar .rlib .rpm .safetensors .so .sqlite
    .sqlite3 .svgz .swf .tar .tbz2 .tflite .tgz .tif .tiff .ttf .txz .wasm .war .wav .webm .webp .whl .wma .wmv .woff
    .woff2 .xls .xlsx .xz .z .zip .zst
    """.split()  # noqa: SIM905  a list of them would fill the screen
)


@dataclass(frozen=True)
class Found:
    """A file to read.

    Attributes:
        root: absolute path of the folder it was found in, links resolved.
        path: below ``root``, with ``/``: also the id of a document which is the whole file.
        size: bytes.
        mtime_ns: time of last change, nanoseconds.
        suffix: the longest of the given suffixes that its name ends with, or ``""``.
        max_bytes: what it may have grown to when it is opened; None is without limit.
    """

    root: str
    path: str
    size: int
    mtime_ns: int
    suffix: str
    max_bytes: int | None = None

    @property
    def full_path(self) -> str:
        """Where it is."""
        return os.path.join(self.root, *self.path.split("/"))


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was not read.

    Attributes:
        path: of it, as it can be shown: bytes that are no text are escaped.
        reason: a short phrase; the same for the same cause.
        below: its path below the root, with ``/``.
        is_there: what it gave before is still the best that is known of it: it exists, but could not be read.
    """

    path: str
    reason: str
    below: str = ""
    is_there: bool = False


def walk(
    root: Path,
    *,
    glob: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    max_bytes: int = MAX_BYTES,
    suffixes: Sequence[str],
) -> Iterator[Found | Skipped]:
    """Yield the files below a folder, sorted by name folder by folder; or the one file that ``root`` is.

    Left out without a word: ``.git``, hidden files and folders, what ``.gitignore`` files (those of the enclosing
    repository too) and ``.git/info/exclude`` name, what ``glob`` does not name, and what ``exclude`` names.
    A file given as root is taken whatever its name, size or ``.gitignore`` say.

    Args:
        root: a folder or a file.
        glob: patterns as in .gitignore, relative to the root; only files that match one.
        exclude: patterns as in .gitignore, relative to the root; no files or folders that match.
        hidden: take hidden files and folders as well.
        max_bytes: larger files are skipped.
        suffixes: lower-case endings that loaders take.

    Raises:
        UsageError: the root is not there, is neither file nor folder, or cannot be listed; or a pattern is none.
    """
    wanted, unwanted = _patterns("glob", glob), _patterns("exclude", exclude)
    try:
        status = os.stat(root)
        folder, name = root_of(root)
        if stat.S_ISDIR(status.st_mode):
            entries = _listed(folder)
    except OSError as error:
        raise UsageError(f"{root} cannot be read: {reason_of(error)}", path=str(root)) from error
    if stat.S_ISREG(status.st_mode):
        yield Found(folder, name, status.st_size, status.st_mtime_ns, _suffix(name, suffixes))
        return
    if not stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{root} is neither a file nor a folder", path=str(root))
    # A list instead of calls: folders may nest deeper than Python calls may.
    stack = [(iter(entries), "", _enclosing_rules(folder))]
    stack[0][2].enter(folder, "")
    while stack:
        entries_left, base, rules = stack[-1]
        entry = next(entries_left, None)
        if entry is None:
            stack.pop()
            continue
        below = base + entry.name
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            shown = below + "/" if is_folder else below
            if entry.name == ".git" or (entry.name.startswith(".") and not hidden):
                continue
            if rules.ignore(shown) or (unwanted and unwanted.match_file(shown)):
                continue
            if is_folder:
                below_entries = _listed(entry.path)
                inner = rules.below()
                inner.enter(entry.path, shown)
                stack.append((iter(below_entries), shown, inner))
                continue
            if wanted and not wanted.match_file(below):
                continue
            yield _looked_at(folder, entry, below, max_bytes, suffixes)
        except OSError as error:
            # Whether it vanished or is locked: what is known of it stays until a run can see.
            yield Skipped(_displayed(entry.path), reason_of(error), below, is_there=True)


def root_of(path: Path) -> tuple[str, str]:
    """Return the absolute folder, links resolved, and the name of the file in it (``""`` for a folder)."""
    if path.is_dir():
        return os.path.realpath(path), ""
    absolute = os.path.abspath(path)
    return os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute)


def opener(found: Found) -> Callable[[], BinaryIO]:
    """Return a function that opens a file, which must still be a file, and no larger than allowed.

    What it opens is checked, not the name: the file may have been exchanged since it was found.

    Raises:
        LoadError: it is now something else, or too large.
        OSError: it cannot be opened.
    """
    is_named = found.max_bytes is None

    def open_file() -> BinaryIO:
        # subtle: without O_NONBLOCK a pipe put in its place would be waited for.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        number = os.open(found.full_path, flags) if is_named else _opened_below(found.root, found.path, flags)
        stream = os.fdopen(number, "rb")
        try:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise LoadError(f"{found.path}: {_SPECIAL}", reason=_SPECIAL)
            if found.max_bytes is not None and status.st_size > found.max_bytes:
                reason = _too_large(found.max_bytes)
                raise LoadError(f"{found.path}: {reason}", reason=reason)
        except BaseException:
            stream.close()
            raise
        return stream

    return open_file


def _opened_below(root: str, path: str, flags: int) -> int:
    """Open a file below a folder, no part of whose path is a link: not even one put there since it was found.

    Where the system cannot open relative to a folder (Windows), only the file itself is known to be no link.
    """
    no_link = getattr(os, "O_NOFOLLOW", 0)
    *folders, name = path.split("/")
    if not folders or os.open not in os.supports_dir_fd:
        return os.open(os.path.join(root, *folders, name), flags | no_link)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | no_link, dir_fd=folder)
            except NotADirectoryError as error:  # what Linux calls a link that is not followed to a folder
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.path.join(root, path)) from error
            os.close(folder)
            folder = below
        return os.open(name, flags | no_link, dir_fd=folder)
    finally:
        os.close(folder)


def reason_of(error: OSError) -> str:
    """Return a short phrase for why the file system refused."""
    if isinstance(error, PermissionError):
        return "no permission to read"
    if isinstance(error, FileNotFoundError):
        return "vanished"
    if error.errno == errno.ELOOP:
        return _LINK
    return (error.strerror or str(error)).lower()


_SPECIAL = "not a regular file"
_LINK = "link, not followed"


def _too_large(max_bytes: int) -> str:
    return f"larger than {max_bytes:,} bytes"


def _looked_at(
    root: str, entry: os.DirEntry[str], below: str, max_bytes: int, suffixes: Sequence[str]
) -> Found | Skipped:
    status = entry.stat(follow_symlinks=False)
    reason = ""
    is_there = False
    suffix = _suffix(entry.name, suffixes)
    if stat.S_ISLNK(status.st_mode):
        reason = _LINK
    elif not stat.S_ISREG(status.st_mode):
        reason = _SPECIAL
    elif not _is_text(below):
        reason = "the name is not text"
    elif not suffix and os.path.splitext(entry.name)[1].lower() in _BINARY:
        reason = "binary"
    elif not status.st_size:
        reason = "empty"
    elif status.st_size > max_bytes:
        reason, is_there = _too_large(max_bytes), True
    if reason:
        return Skipped(_displayed(entry.path), reason, below, is_there)
    return Found(root, below, status.st_size, status.st_mtime_ns, suffix, max_bytes)


def _suffix(name: str, suffixes: Sequence[str]) -> str:
    name = name.lower()
    return max((suffix for suffix in suffixes if name.endswith(suffix)), key=len, default="")


def _listed(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _displayed(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _patterns(option: str, patterns: Sequence[str]) -> GitIgnoreSpec | None:
    if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError(f"{option} is {patterns!r:.80}; it must be a list of patterns as in .gitignore")
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except (ValueError, re.error) as error:
        raise UsageError(f"{option} {list(patterns)!r}: {error}; write patterns as in .gitignore") from error


class _Rules:
    """The .gitignore rules in force in a folder, the strongest last.

    Each is a path that ends with ``/`` (or is empty) and the rules that apply to what is below it. A path is relative
    to the root; ``above`` is the root's own path below the repository that encloses it.
    """

    def __init__(self, above: str, specs: Sequence[tuple[str, GitIgnoreSpec]] = ()) -> None:
        self._above = above
        self._specs = list(specs)

    def below(self) -> _Rules:
        """Return a copy to which the rules of a folder may be added."""
        return _Rules(self._above, self._specs)

    def enter(self, folder: str, path: str) -> None:
        """Add the rules that stand in a folder. A repository's own ``info/exclude`` is weaker than .gitignore."""
        for name in (os.path.join(".git", "info", "exclude"), ".gitignore"):
            spec = _ignore_file(os.path.join(folder, name))
            if spec:
                self._specs.append((self._above + path, spec))

    def ignore(self, path: str) -> bool:
        """Say whether a path below the root is ignored; a folder's path ends with ``/``."""
        path = self._above + path
        for base, spec in reversed(self._specs):
            decision = spec.check_file(path[len(base) :]).include
            if decision is not None:
                return decision
        return False


def _enclosing_rules(root: str) -> _Rules:
    """Return the rules that the folders above the root, up to the top of its repository, give for it."""
    above: list[str] = []
    folder = root
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent, name = os.path.split(folder)
        if parent == folder:
            return _Rules("")
        above.insert(0, name)
        folder = parent
    if not above:
        return _Rules("")
    rules = _Rules("")
    path = ""
    for name in above:
        rules.enter(os.path.join(folder, path), path)
        path += name + "/"
        # A folder that the user names is read even where its repository ignores it.
        if rules.ignore(path):
            return _Rules("")
    rules._above = path
    return rules


def _plainer(line: str) -> str:
    r"""Return a pattern with every run of stars that means one star made one.

    Example:
        >>> _plainer("a***b/**/c"), _plainer(r"\***")
        ('a*b/**/c', '\\**')
    """
    return "/".join(
        part if part == "**" else _STARS.sub(lambda found: found[1] or "*", part) for part in line.split("/")
    )


def _backtracks(line: str) -> int:
    """Return how many times over a pattern may look at a path: 2 is by the square of its length, 3 by the cube.

    Of the stars within one name the last costs nothing, as the name ends; ``**`` costs where it stands inside.

    Example:
        >>> _backtracks("**/*.min.*"), _backtracks("a/**/b/**/c"), _backtracks("*a*a*a*a*b")
        (1, 2, 4)
    """
    parts = line.strip("/").split("/")
    within = max(sum(1 for found in _STARS.finditer(part) if not found[1]) for part in parts)
    return parts[1:-1].count("**") + max(within - 1, 0)


def _ignore_file(path: str) -> GitIgnoreSpec | None:
    """Return the rules of a file, or None. As git does, links are not followed and lines that say nothing are left.

    Left as well are patterns that could take forever on a name made for them, and those beyond ``_MOST_PATTERNS``.
    """
    if not os.path.isfile(path) or os.path.islink(path):
        return None
    from pathspec import GitIgnoreSpec

    try:
        with open(path, "rb") as stream:
            lines = stream.read(_LARGEST_IGNORE_FILE).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    except OSError:
        return None
    patterns: list[GitIgnoreSpecPattern] = []
    for line in lines.split("\n"):
        line = _plainer(line.rstrip("\r"))
        if len(patterns) >= _MOST_PATTERNS or _backtracks(line) > _MOST_BACKTRACKING:
            continue
        try:
            patterns += GitIgnoreSpec.from_lines([line]).patterns
        except (ValueError, re.error):
            continue
    return GitIgnoreSpec(patterns)
