"""A loader of subtitles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, ClassVar

from vecsearch import Document, LoadError, SourceFile

_TIMES = re.compile(r"\d+:\d\d:\d\d[,.]\d{3} --> \d+:\d\d:\d\d[,.]\d{3}")


class ExampleLoader:
    """Read what is said from subtitles (SubRip): one document a file, without numbers and times.

    Example:
        >>> import io
        >>> content = b"1\\n00:00:01,000 --> 00:00:02,500\\nHello,\\nworld.\\n"
        >>> file = SourceFile("talk.srt", "talk.srt", lambda: io.BytesIO(content), len(content))
        >>> [document.text for document in ExampleLoader().load(file)]
        ['Hello,\\nworld.\\n']
    """

    name: ClassVar[str] = "example_plugin"
    version: ClassVar[str] = "1"  # change it whenever some file gives other documents
    suffixes: ClassVar[tuple[str, ...]] = (".srt",)  # no other installed loader may take them too

    def __init__(self) -> None:
        self.config: Mapping[str, Any] = {}
        self.files: Mapping[str, str] = {}

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the document of a file.

        Raises:
            LoadError: it is not UTF-8, or there is no subtitle in it.
        """
        with file.open() as stream:
            content = stream.read()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LoadError(f"{file.name}: byte {error.start} is not UTF-8") from error
        said: list[str] = []
        n_cues, is_inside = 0, False
        for line in text.splitlines():
            if _TIMES.match(line):
                n_cues, is_inside = n_cues + 1, True
            elif not line.strip():
                is_inside = False
            elif is_inside:
                said.append(line.strip() + "\n")
        if not n_cues:
            raise LoadError(
                f"{file.name}: no line such as 00:00:01,000 --> 00:00:02,500, so there is no subtitle in it"
            )
        title = PurePath(file.name).stem
        yield Document(id=file.id, text="".join(said), title=title, metadata={"cues": n_cues})
