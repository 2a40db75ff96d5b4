"""What the pages tell the reader to run, word for word, with their placeholders filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
PLACEHOLDERS = {
    "COMMAND": "run",
    "DIR": "runs/demo",
    "EXPOSURES": "s3://logs/exposures",
    "FEATURE_STORE": "s3://ranker/features",
    "FILE": "rows.parquet",
    "GATEWAY-NAMESPACE": "gateway",
    "KEY": "training.batch_size",
    "MONITORING-NAMESPACE": "monitoring",
    "NAME": "nightly",
    "NS": "hemix",
    "PLACE": "s3://logs/outcomes",
    "REGISTRY": "s3://ranker/registry",
    "V": "20220430-1a2b3c4d",
    "VALUE": "4096",
    "VERSION": "20220430-1a2b3c4d",
}
"""What a reader puts in place of a word in capitals. A word that is not here stands as it is, and
:func:`unknown` finds it."""
_CAPITALS = re.compile(r"(?<![\w.$-])[A-Z]+(?:[_-][A-Z]+)*(?![\w.])")
_ENDS = re.compile(r"\s+(?:[|>&;#]|2>|\\$).*|\)$")
_BEFORE = re.compile(r"^(?:\w+=\S+ +|[$] |export [^&]*&& )*")


@dataclass(frozen=True)
class Command:
    """A command of a page; ``whole``: of a block, to be run as it stands, not one that a sentence names."""

    text: str
    whole: bool


def commands(page: str, program: str) -> list[Command]:
    """Commands in code: of blocks, with their continued lines, and within sentences."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page, re.DOTALL)
    rest = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    code = [(line, True) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    code += [(one, False) for line in re.findall(r"`([^`\n]+)`", rest) for one in _each(line)]
    found = []
    for line, whole in code:
        text = _BEFORE.sub("", line.strip())
        if text.startswith(f"{program} "):
            found.append(Command(_ENDS.sub("", text), whole))
    return found


def _each(line: str) -> list[str]:
    """``models list | show | promote`` and ``--protocol v1|v2`` are several commands."""
    first, *others = line.split(" | ")
    if len(others) > 1 and all(re.fullmatch(r"[a-z-]+", other) for other in others):
        stem = first.rpartition(" ")[0]
        return [first, *(f"{stem} {other}" for other in others)]
    choice = re.search(r"(?<= )\w+(?:\|\w+)+", line)
    if choice is None:
        return [line]
    before, after = line[: choice.start()], line[choice.end() :]
    return [f"{before}{one}{after}" for one in choice[0].split("|")]


def filled(word: str) -> str:
    """A word of a command with its placeholders filled in; what has spaces is a text of the reader's."""
    if " " in word:
        return word
    return _CAPITALS.sub(lambda match: PLACEHOLDERS.get(match[0], match[0]), word)


def unknown(word: str, but: frozenset[str] = frozenset()) -> list[str]:
    """Words in capitals that no table knows, ``but`` for those that are names themselves."""
    found = [] if " " in word else _CAPITALS.findall(word)
    return [name for name in found if name not in PLACEHOLDERS and name not in but]
