"""Source code and files of settings: one document a file, a section a definition at the top level.

No language is parsed. A section begins at an unindented line after a blank line, so that the comment above a function
stays with it, and at an unindented definition right after an indented or closing line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from vecsearch import Document, SourceFile
from vecsearch_loaders.decoding import TextLoader, read_text

__all__ = ["SourceCodeLoader"]

_SUFFIXES = """
.ada .adb .ads .asm .awk .bash .bat .bzl .c .c++ .cc .cfg .cjs .cl .clj .cljc .cljs .cmake .cmd .coffee .conf .cpp .cr
.cs .css .csproj .cts .cu .cuh .cxx .d .dart .diff .dockerfile .ebuild .edn .el .elm .env .erl .ex .exs .f .f03 .f08
.f90 .f95 .fish .for .fs .fsi .fsx .gd .gemspec .glsl .go .gql .gradle .graphql .groovy .h .h++ .hcl .hh .hlsl .hpp .hrl
.hs .hxx .idl .ini .inl .ino .ipp .java .jl .js .json .json5 .jsonc .jsx .kt .kts .less .lhs .lisp .lua .m .mak .mk .ml
.mli .mm .mts .nim .nix .nu .pas .patch .php .pl .plist .pm .po .pot .pp .pro .properties .proto .ps1 .psm1 .pxd .py
.pyi .pyw .pyx .qml .r .rake .rb .rkt .rs .s .sass .sbt .scala .scm .scss .service .sh .sol .sql .ss .sv .svelte .svh
.swift .tcl .template .tex .tf .tfvars .thrift .toml .ts .tsx .v .vb .vhd .vhdl .vim .vue .wat .wgsl .xml .xsd .xsl
.xslt .yaml .yml .zig .zsh
"""

_UNINDENTED = re.compile(r"(?m)^(?=[^\s})\]])(?!(?:end|fi|esac|done|#endif)\b)")
_DEFINITION = re.compile(
    r"(?:(?:export|default|pub(?:\([a-z]{1,9}\))?|public|private|protected|internal|static|abstract|final|async|unsafe"
    r"|extern|inline)\s++)*+"
    r"(?:def|class|fn|func|fun|function|impl|struct|enum|union|trait|interface|module|namespace|type|typedef|object"
    r"|protocol|extension|record|macro_rules!|sub|proc|package|CREATE|create)\b"
)
# A line before that is longer than this is not looked at.
_LONG = 1000
_ENDS_A_BLOCK = re.compile(r"\s|[})\]]|(?:end|fi|esac|done)\b")


class SourceCodeLoader(TextLoader):
    """Reads a file of source code or settings as one document without title."""

    name: ClassVar[str] = "code"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_SUFFIXES.split())

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document, its sections the definitions at the top level.

        Raises:
            LoadError: see ``decoding.read_text``.
        """
        text = read_text(file, self.encoding, self.max_bytes)
        yield Document(file.id, text, sections=tuple(_sections(text)))


def _sections(text: str) -> Iterator[int]:
    for match in _UNINDENTED.finditer(text, 1):
        start = match.start()
        begin = text.rfind("\n", 0, start - 1) + 1
        before = text[begin : start - 1] if start - begin < _LONG else "x"
        # Right below a comment or a decorator a definition begins nothing: the section began with that.
        if not before.strip() or (_ENDS_A_BLOCK.match(before) and _DEFINITION.match(text, start)):
            yield start
