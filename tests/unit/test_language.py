"""The English of docstrings, messages and documents: the rules of CONTRIBUTING.md that a machine can check."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ROOT / "orchestrator"

QUESTION_WORD = re.compile(r"(What|Whether|How|Where|When|Who|Why|Until)\b")
BANNED = {
    "is told": re.compile(r"\b(?:is|are|was|were|be|been) told\b", re.IGNORECASE),
    "what there is": re.compile(r"\bwhat there is\b", re.IGNORECASE),
    "mend": re.compile(r"\bmend(?:s|ed|ing)?\b", re.IGNORECASE),
    "whoever": re.compile(r"\bwhoever\b", re.IGNORECASE),
    "hasn't got": re.compile(r"\bha(?:s|ve)n['’]t got\b", re.IGNORECASE),
    "beside": re.compile(r"\bbeside\b", re.IGNORECASE),
    "stands": re.compile(
        r"\bstands?\b(?! for\b|-in)", re.IGNORECASE
    ),  # "θ stands for accuracy" and "stand-in" are fine
    "one that": re.compile(r"(?<!which )(?<!the )\bone that\b", re.IGNORECASE),  # "the one that" points at a noun
}

# Files whose string literals a user reads.
MESSAGES = ("cli/", "report/", "errors.py")


def _not_yet() -> tuple[str, ...]:
    """Return the packages before their language pass: those for which pyproject.toml tells ruff to ignore D401."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ignores = config["tool"]["ruff"]["lint"]["per-file-ignores"]
    return tuple(
        pattern.removeprefix("orchestrator/").removesuffix("**")
        for pattern, rules in ignores.items()
        if pattern.startswith("orchestrator/") and "D401" in rules
    )


NOT_YET = _not_yet()
DONE = [path for path in sorted(CODE.rglob("*.py")) if not path.relative_to(CODE).as_posix().startswith(NOT_YET)]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def banned_words(text: str) -> list[str]:
    """Return the banned words in a text."""
    return [word for word, pattern in BANNED.items() if pattern.search(text)]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "lineno", 1), text


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string literal in a module, docstrings and parts of f-strings included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def prose(markdown: str) -> str:
    """Return a document without code blocks, inline code and the targets of links."""
    without_blocks = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", without_blocks))


@pytest.mark.parametrize("path", DONE, ids=lambda path: path.relative_to(CODE).as_posix())
def test_a_module_is_written_in_plain_english(path: Path) -> None:
    tree = ast.parse(path.read_text())
    found = [f"{line}: begins with {text.split()[0]}" for line, text in docstrings(tree) if QUESTION_WORD.match(text)]
    texts = list(docstrings(tree))
    if path.relative_to(CODE).as_posix().startswith(MESSAGES):
        texts += literals(tree)
    found += [f"{line}: {word!r}" for line, text in texts for word in banned_words(text)]
    assert not found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_is_written_in_plain_english(path: Path) -> None:
    assert not [(word, line) for line in prose(path.read_text()).splitlines() for word in banned_words(line)]


@pytest.mark.parametrize(
    "text",
    [
        "A worker is told its address",
        "how to mend it",
        "Beside the price",
        "the key stands twice",
        "whoever may read it",
    ],
)
def test_a_banned_word_is_found(text: str) -> None:
    assert banned_words(text)


@pytest.mark.parametrize("text", ["an outstanding amendment", "θ stands for accuracy", "besides, the one that is idle"])
def test_other_words_pass(text: str) -> None:
    assert not banned_words(text)


def test_code_and_link_targets_are_no_prose() -> None:
    assert prose("Use `mend` [here](stands.md).\n```\nbeside\n```\nEnd") == "Use  [here].\n\nEnd"


def test_the_glossary_is_alphabetical_and_names_each_term_once() -> None:
    greek = {"θ (theta)": "theta", "τ (tau)": "tau"}
    terms = [line[3:] for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("## ")]
    keys = [greek.get(term, term).casefold() for term in terms]
    assert keys == sorted(set(keys))


def test_the_glossary_links_to_its_own_terms() -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    headings = [line[3:].lower() for line in text.splitlines() if line.startswith("## ")]
    anchors = {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_each_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    pages = {path.name for path in folder.glob("0*.md")}
    assert set(re.findall(r"\((0[^)]+\.md)\)", (folder / "README.md").read_text())) == pages
