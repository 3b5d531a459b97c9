"""What the documents show exists: names, paths, links and headings; and their lines are short."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuning.config.config import SearchConfig
from tuning.config.faults import faults_of_space

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmarks", "models", "policies", "search_spaces", "tests", "tuning")
FOLDERS = (*PACKAGES, "docs")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
WIDTH = 100
WIDE = 120

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)
SHOWN = re.compile(r"^# ((?:\w+/)+\w+\.py)$", flags=re.MULTILINE)
DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
COMMAND = re.compile(r"python -m ((?:tuning|benchmarks)(?:\.\w+)+)([^`\n]*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
SUFFIXES = ("py", "md", "toml", "json", "png")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one as far as it goes."""
    words = dotted.split(".")
    for end in range(len(words), 0, -1):
        module = ".".join(words[:end])
        if not _is_module(module):
            continue
        found: object = importlib.import_module(module) if end < len(words) else None
        for word in words[end:]:
            if not hasattr(found, word) and word not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, word, None)
        return True
    return False


def _is_module(name: str) -> bool:
    at = ROOT.joinpath(*name.split("."))
    return at.with_suffix(".py").is_file() or (at / "__init__.py").is_file()


def dotted_names(text: str) -> set[str]:
    """The project's dotted names in a text; a file's name (``tuning.toml``) is none.

    Nor are those of a file that the text itself shows, whose first line is its path.
    """
    own = tuple(path.removesuffix(".py").replace("/", ".") for path in SHOWN.findall(text))
    found = {name for name in DOTTED.findall(text) if name.rpartition(".")[2] not in SUFFIXES}
    return {name for name in found if not name.startswith(own or ("/",))}


def paths(text: str) -> set[str]:
    """The project's paths in a text, without the full stop of a sentence that ends with one."""
    return {path.rstrip(".") for path in PATH.findall(text)} - set(SHOWN.findall(text))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


def blocks(path: Path, language: str) -> list[str]:
    """A document's code blocks of a language."""
    return [code for found, code in FENCE.findall(text_of(path)) if found == language]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
class TestDocument:
    def test_names_exist(self, path: Path) -> None:
        """Every dotted name of one of the packages is a module, or is found in one."""
        assert [name for name in sorted(dotted_names(text_of(path))) if not exists(name)] == []

    def test_paths_exist(self, path: Path) -> None:
        """Every path that begins with one of the project's folders is there."""
        assert [name for name in sorted(paths(text_of(path))) if not any(ROOT.glob(name))] == []

    def test_links_resolve(self, path: Path) -> None:
        """Every link to a file is to one that is there, and to a heading that it has."""
        assert [link for link in LINK.findall(text_of(path)) if not resolves(path, link)] == []

    def test_lines_are_short(self, path: Path) -> None:
        """No line is longer than 100 columns; a table's, which cannot be broken, may be longer."""
        lines = text_of(path).splitlines()
        widths = [(WIDE if line.startswith("|") else WIDTH, line) for line in lines]
        assert [line for width, line in widths if len(line) > width] == []

    def test_code_imports_what_there_is(self, path: Path) -> None:
        """Parses the Python blocks and looks up what they import from the project."""
        names = {name for code in blocks(path, "python") for name in imported(code)}
        ours = dotted_names(
            "\n".join([*names, *(f"# {file}" for file in SHOWN.findall(text_of(path)))])
        )
        assert [name for name in sorted(ours) if not exists(name)] == []

    def test_flags_exist(self, path: Path) -> None:
        """Every flag that follows a command of ours is one of its own."""
        text = re.sub(r"\\\n\s*", "", text_of(path))
        unknown = [
            f"{module} {flag}"
            for module, given in COMMAND.findall(text)
            for flag in FLAG.findall(given)
            if flag not in flags_of(module)
        ]
        assert unknown == []

    def test_settings_are_accepted(self, path: Path) -> None:
        """Reads every TOML block as a search's configuration: no fault but those of the machine."""
        for block in blocks(path, "toml"):
            options = tomllib.loads(block)
            assert faults_of_space(SearchConfig(run="runs/mine", **options)) == []


@functools.cache
def flags_of(module: str) -> frozenset[str]:
    """The flags of a command: of a door those in its help, of a benchmark those in its source."""
    if module.startswith("tuning."):
        command = [sys.executable, "-m", module, "--help"]
        text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    else:
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        text = text_of(path) + text_of(ROOT / "benchmarks" / "common.py") + "--help"
    return frozenset(FLAG.findall(text))


def resolves(path: Path, link: str) -> bool:
    """Whether a link from a document leads somewhere; another site's is not followed."""
    if "://" in link:
        return True
    where, _, anchor = link.partition("#")
    target = (path.parent / where).resolve() if where else path
    if not target.exists():
        return False
    return not anchor or anchor in anchors(text_of(target))


def imported(code: str) -> Iterator[str]:
    """The dotted names that a piece of code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ["docs", "docs/decisions", "docs/studies"])
def test_index_has_every_page(folder: str) -> None:
    """Each folder's README links to each of its pages, and the first to the other two."""
    index = ROOT / folder / "README.md"
    linked = {
        (index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(text_of(index))
    }
    pages = [*index.parent.glob("*.md"), *index.parent.glob("*/README.md")]
    assert [name_of(page) for page in sorted(pages) if page not in {*linked, index}] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_sources_name_documents_that_exist(path: Path) -> None:
    """Every page of ``docs/`` that a docstring or a comment sends a reader to is there."""
    named = {name for name in paths(text_of(path)) if name.startswith("docs/")}
    assert [name for name in sorted(named) if not any(ROOT.glob(name))] == []
