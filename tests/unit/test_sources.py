"""Which files of a folder are read, and what is said of the others."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vecsearch import LoadError, UsageError
from vecsearch.sources import Found, Skipped, opener, reason_of, walk

SUFFIXES = (".txt", ".md", ".pdf", ".gz.txt", ".d.ts")


def make(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return root


def found(root: Path, **options) -> list[str]:
    return [one.path for one in walk(root, suffixes=SUFFIXES, **options) if isinstance(one, Found)]


def skipped(root: Path, **options) -> dict[str, str]:
    return {one.below: one.reason for one in walk(root, suffixes=SUFFIXES, **options) if isinstance(one, Skipped)}


def test_files_come_sorted_folder_by_folder(tmp_path):
    make(tmp_path, dict.fromkeys(["b.txt", "a/z.md", "a/b/c.txt", "c", "B.txt", "a.txt"], "x"))
    assert found(tmp_path) == ["B.txt", "a/b/c.txt", "a/z.md", "a.txt", "b.txt", "c"]
    assert found(tmp_path) == found(tmp_path)


def test_found_file_has_size_time_and_longest_suffix(tmp_path):
    make(tmp_path, {"a.GZ.TXT": "four", "b.txt": "x", "c.unknown": "x", "README": "x", "x.d.ts": "x"})
    files = {one.path: one for one in walk(tmp_path, suffixes=SUFFIXES)}
    one = files["a.GZ.TXT"]
    assert (one.size, one.mtime_ns) == (4, (tmp_path / "a.GZ.TXT").stat().st_mtime_ns)
    assert one.root == os.path.realpath(tmp_path)
    assert {path: one.suffix for path, one in files.items()} == {
        "a.GZ.TXT": ".gz.txt",
        "b.txt": ".txt",
        "c.unknown": "",
        "README": "",
        "x.d.ts": ".d.ts",
    }


def test_hidden_files_and_folders_are_left_out_unless_asked_for(tmp_path):
    make(tmp_path, dict.fromkeys(["a.txt", ".b.txt", ".c/d.txt", ".git/config.txt", "e/.git/f.txt"], "x"))
    assert found(tmp_path) == ["a.txt"]
    assert found(tmp_path, hidden=True) == [".b.txt", ".c/d.txt", "a.txt"]
    assert skipped(tmp_path) == {}


def test_gitignore_files_count_at_every_level_and_the_deepest_decides(tmp_path):
    make(
        tmp_path,
        {
            ".gitignore": "*.log\n/top.txt\nbuild/\n# comment\n\\#odd.txt\n",
            "a/.gitignore": "!keep.log\nb/*\n!b/yes.txt\n",
            "a/b/.gitignore": "",
        }
        | dict.fromkeys(
            ["x.log", "top.txt", "build/x.txt", "a/keep.log", "a/no.log", "a/top.txt", "a/b/no.txt", "a/b/yes.txt"], "x"
        )
        | dict.fromkeys(["#odd.txt", "a/build/x.txt", "a/build2/x.txt"], "x"),
    )
    assert found(tmp_path) == ["a/b/yes.txt", "a/build2/x.txt", "a/keep.log", "a/top.txt"]


def test_file_in_an_ignored_folder_cannot_be_brought_back(tmp_path):
    make(tmp_path, {".gitignore": "build/\n!build/keep.txt\n", "build/keep.txt": "x", "a.txt": "x"})
    assert found(tmp_path) == ["a.txt"]


def test_info_exclude_counts_and_is_weaker_than_gitignore(tmp_path):
    make(
        tmp_path,
        {".git/info/exclude": "*.txt\n", ".gitignore": "!b.txt\n", "a.txt": "x", "b.txt": "x", "c.md": "x"},
    )
    assert found(tmp_path) == ["b.txt", "c.md"]


def test_rules_of_the_enclosing_repository_count(tmp_path):
    make(
        tmp_path,
        {
            ".git/info/exclude": "*.tmp.txt\n",
            ".gitignore": "docs/drafts/\n/a.txt\n",
            "docs/.gitignore": "b.txt\n",
            "docs/guide/x.tmp.txt": "x",
            "docs/guide/a.txt": "x",
            "docs/guide/b.txt": "x",
            "docs/drafts/c.txt": "x",
        },
    )
    assert found(tmp_path / "docs") == ["guide/a.txt"]
    assert found(tmp_path / "docs/guide") == ["a.txt"]


def test_folder_that_is_named_is_read_even_where_its_repository_ignores_it(tmp_path):
    make(tmp_path, {".git/HEAD": "x", ".gitignore": "build/\n", "build/a.txt": "x"})
    assert found(tmp_path / "build") == ["a.txt"]


def test_gitignore_with_lines_that_are_no_patterns_is_read_as_far_as_it_goes(tmp_path):
    make(tmp_path, {"a.txt": "x", "b.txt": "x"})
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfa.txt\r\n!\r\n\\\n\xff\xfe[\n[o-;]\n")
    assert found(tmp_path) == ["b.txt"]


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 30 + "*b", "a" + "*" * 500 + "b", "**/a/" * 40 + "b", "/" + "**/" * 500 + "b", "[*a]*" * 30 + "b"],
)
def test_gitignore_that_would_take_forever_is_passed_over(tmp_path, pattern):
    deep = "/".join(["a" * 200] * 8)
    make(tmp_path, {".gitignore": f"{pattern}\n*.tmp\n", "a" * 250: "x", f"{deep}/{'a' * 250}": "x", "a.tmp": "x"})
    assert found(tmp_path) == [f"{deep}/{'a' * 250}", "a" * 250]


def test_gitignore_patterns_as_people_write_them_count(tmp_path):
    patterns = ["**/*.min.*", "a/**/*.test.*", "*-*-*.log", "docs/**/build/**", "***.bak", r"\*\*\*star"]
    names = ["x/y.min.js", "a/b/c.test.py", "1-2-3.log", "docs/x/build/y", "a.bak", "***star", "kept", "docs/x/kept"]
    make(tmp_path, {".gitignore": "\n".join(patterns), **dict.fromkeys(names, "x")})
    assert found(tmp_path) == ["docs/x/kept", "kept"]


def test_gitignore_that_is_a_link_or_a_folder_says_nothing(tmp_path):
    make(tmp_path, {"rules": "*.txt\n", "root/a.txt": "x", "root/b/.gitignore/x.md": "x", "root/b/c.txt": "x"})
    (tmp_path / "root/.gitignore").symlink_to(tmp_path / "rules")
    assert found(tmp_path / "root") == ["a.txt", "b/c.txt"]


def test_glob_takes_only_what_matches(tmp_path):
    make(tmp_path, dict.fromkeys(["a.md", "a.txt", "docs/b.md", "docs/c/d.txt", "src/e.md"], "x"))
    assert found(tmp_path, glob=["*.md"]) == ["a.md", "docs/b.md", "src/e.md"]
    assert found(tmp_path, glob=["/docs/"]) == ["docs/b.md", "docs/c/d.txt"]
    assert found(tmp_path, glob=["*.md", "!src/*"]) == ["a.md", "docs/b.md"]


def test_exclude_leaves_out_files_and_whole_folders(tmp_path):
    make(tmp_path, dict.fromkeys(["a.md", "a.txt", "docs/b.md", "docs/c/d.txt"], "x"))
    assert found(tmp_path, exclude=["docs/"]) == ["a.md", "a.txt"]
    assert found(tmp_path, exclude=["c", "a.*"], glob=["*.md", "*.txt"]) == ["docs/b.md"]


@pytest.mark.parametrize("option", ["glob", "exclude"])
def test_pattern_that_is_none_is_refused(tmp_path, option):
    with pytest.raises(UsageError, match=f"{option} .*write patterns as in .gitignore"):
        list(walk(tmp_path, suffixes=SUFFIXES, **{option: ["!"]}))
    with pytest.raises(UsageError, match=f"{option} .*write patterns as in .gitignore"):
        list(walk(tmp_path, suffixes=SUFFIXES, **{option: ["[o-;]"]}))


@pytest.mark.parametrize("option", ["glob", "exclude"])
@pytest.mark.parametrize("patterns", ["*.md", 7, [None], {"*.md": 1}])
def test_patterns_that_are_no_list_of_texts_are_refused(tmp_path, option, patterns):
    with pytest.raises(UsageError, match=f"{option} is .*list of patterns"):
        list(walk(tmp_path, suffixes=SUFFIXES, **{option: patterns}))


def test_links_are_never_followed_inside_a_folder(tmp_path):
    make(tmp_path, {"outside/secret.txt": "x", "root/a.txt": "x", "root/b/c.txt": "x"})
    root = tmp_path / "root"
    (root / "file.txt").symlink_to(tmp_path / "outside/secret.txt")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "b/up").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "broken.txt").symlink_to("nowhere")
    (root / "inside.txt").symlink_to("a.txt")
    assert found(root) == ["a.txt", "b/c.txt"]
    assert set(skipped(root)) == {"file.txt", "folder", "b/up", "self", "broken.txt", "inside.txt"}
    assert set(skipped(root).values()) == {"link, not followed"}


def test_root_that_is_a_link_is_the_folder_it_points_to(tmp_path):
    make(tmp_path, {"real/a.txt": "x"})
    (tmp_path / "link").symlink_to("real")
    (one,) = walk(tmp_path / "link", suffixes=SUFFIXES)
    assert isinstance(one, Found)
    assert one.root == os.path.realpath(tmp_path / "real")


def test_empty_large_binary_and_special_files_are_skipped_with_the_reason(tmp_path):
    make(tmp_path, {"empty.txt": "", "large.txt": "x" * 1001, "fits.txt": "x" * 1000, "a.PNG": "x", "b.pdf": "x"})
    os.mkfifo(tmp_path / "pipe.txt")
    assert skipped(tmp_path, max_bytes=1000) == {
        "a.PNG": "binary",
        "empty.txt": "empty",
        "large.txt": "larger than 1,000 bytes",
        "pipe.txt": "not a regular file",
    }
    assert found(tmp_path, max_bytes=1000) == ["b.pdf", "fits.txt"]


def test_only_what_is_still_there_and_may_be_read_later_keeps_its_documents(tmp_path):
    make(tmp_path, {"empty.txt": "", "large.txt": "x" * 10, "a.png": "x"})
    assert {
        one.below: one.is_there for one in walk(tmp_path, max_bytes=5, suffixes=SUFFIXES) if isinstance(one, Skipped)
    } == {"a.png": False, "empty.txt": False, "large.txt": True}


def test_socket_is_skipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.txt")
        assert skipped(tmp_path) == {"s.txt": "not a regular file"}


def test_folder_that_cannot_be_listed_is_skipped_and_the_others_go_on(tmp_path, monkeypatch):
    make(tmp_path, {"a/b.txt": "x", "c.txt": "x"})
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.path.basename(path) == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert found(tmp_path) == ["c.txt"]
    (one,) = [one for one in walk(tmp_path, suffixes=SUFFIXES) if isinstance(one, Skipped)]
    assert one == Skipped(os.path.join(os.path.realpath(tmp_path), "a"), "no permission to read", "a", is_there=True)


def test_name_that_is_no_text_is_skipped_and_shown_escaped(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes only names of text")
    (one,) = walk(tmp_path, suffixes=SUFFIXES)
    assert isinstance(one, Skipped)
    assert (one.path.endswith("caf\\xe9.txt"), one.reason) == (True, "the name is not text")


def test_names_with_quotes_newlines_and_marks_are_kept(tmp_path):
    names = ["a'b\"c.txt", "new\nline.txt", "*[x]?.txt", "é\u0301😀.txt", " lead.txt"]
    make(tmp_path, dict.fromkeys(names, "x"))
    assert sorted(found(tmp_path)) == sorted(names)


def test_folders_nested_beyond_any_stack_are_walked(tmp_path):
    depth = 1500
    folder = tmp_path.joinpath(*["d"] * depth)
    try:
        for level in range(depth):
            tmp_path.joinpath(*["d"] * (level + 1)).mkdir()
        (folder / "a.txt").write_text("x")
        assert found(tmp_path) == ["d/" * depth + "a.txt"]
    finally:  # what clears tmp_path calls itself once a level
        (folder / "a.txt").unlink(missing_ok=True)
        while folder != tmp_path:
            folder.rmdir()
            folder = folder.parent


@pytest.mark.parametrize("name", [".hidden", "ignored.txt", "large.txt", "a.png", "empty.txt"])
def test_file_that_is_named_is_taken_whatever_it_is(tmp_path, name):
    make(tmp_path, {".gitignore": "ignored.txt\n", ".hidden": "x", "ignored.txt": "x", "a.png": "x", "empty.txt": ""})
    make(tmp_path, {"large.txt": "x" * 100})
    (one,) = walk(tmp_path / name, max_bytes=5, glob=["*.md"], suffixes=SUFFIXES)
    assert isinstance(one, Found)
    assert (one.path, one.root, one.max_bytes) == (name, os.path.realpath(tmp_path), None)


def test_named_link_to_a_file_is_followed(tmp_path):
    make(tmp_path, {"real/a.txt": "dog"})
    (tmp_path / "link.txt").symlink_to("real/a.txt")
    (one,) = walk(tmp_path / "link.txt", suffixes=SUFFIXES)
    assert isinstance(one, Found)
    with opener(one)() as stream:
        assert (one.path, stream.read()) == ("link.txt", b"dog")


def test_root_that_is_not_there_or_special_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: vanished"):
        list(walk(tmp_path / "nothing", suffixes=SUFFIXES))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        list(walk(tmp_path / "pipe", suffixes=SUFFIXES))


def only(root: Path, **options) -> Found:
    (one,) = walk(root, suffixes=SUFFIXES, **options)
    assert isinstance(one, Found)
    return one


def test_file_that_grew_since_it_was_found_is_not_read(tmp_path):
    make(tmp_path, {"a.txt": "x"})
    one = only(tmp_path, max_bytes=5)
    make(tmp_path, {"a.txt": "x" * 6})
    with pytest.raises(LoadError, match="larger than 5 bytes"):
        opener(one)()


def test_file_that_was_exchanged_for_a_link_is_not_read(tmp_path):
    make(tmp_path, {"root/a.txt": "x", "secret": "x"})
    one = only(tmp_path / "root")
    (tmp_path / "root/a.txt").unlink()
    (tmp_path / "root/a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic link"):
        opener(one)()


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="the system cannot open relative to a folder")
def test_file_in_a_folder_that_was_exchanged_for_a_link_is_not_read(tmp_path):
    make(tmp_path, {"in/a/b/c.txt": "x", "out/b/c.txt": "secret"})
    (one,) = walk(tmp_path / "in", suffixes=SUFFIXES)
    open_file = opener(one)
    with open_file() as stream:
        assert stream.read() == b"x"
    (tmp_path / "in" / "a").rename(tmp_path / "in" / "was")
    (tmp_path / "in" / "a").symlink_to(tmp_path / "out")
    with pytest.raises(OSError) as caught:
        open_file()
    assert reason_of(caught.value) == "link, not followed"


def test_file_that_was_exchanged_for_a_pipe_is_not_waited_for(tmp_path):
    make(tmp_path, {"a.txt": "x"})
    one = only(tmp_path)
    (tmp_path / "a.txt").unlink()
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(LoadError, match="not a regular file"):
        opener(one)()
