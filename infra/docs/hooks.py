"""What mkdocs does beside copying pages: generated reference pages, links that leave ``docs/``.

mkdocs calls the functions by their names (``hooks:`` in mkdocs.yml).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from hemix.infra.docs import commands, configuration, notebook, walkthrough

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {
    "reference/commands.md": commands.page,
    "reference/configuration.md": configuration.page,
    "tutorial/notebook.md": notebook.page,
    "operator/walkthrough.md": walkthrough.page,
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)(#[^)]*)?\)")
_PICTURES = {".svg", ".png"}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the pictures that pages show from outside ``docs/``."""
    for name, page in GENERATED.items():
        # In the repository some have a stand-in, which tells a reader there how to make the page.
        if (stand_in := files.get_file_from_path(name)) is not None:
            files.remove(stand_in)
        files.append(File.generated(config, name, content=page()))
    for picture in sorted((ROOT / "benchmarks" / "results").glob("*.svg")):
        name = f"pictures/{picture.name}"
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files outside ``docs/`` into their paths, and pictures into the site's copies."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(match: re.Match[str]) -> str:
        mark, text, target, _anchor = match.groups()
        place = posixpath.normpath(posixpath.join("docs", folder, target))
        if place.startswith("docs/"):
            return match.group(0)
        if not (ROOT / place).exists():
            raise FileNotFoundError(
                f"docs/{page.file.src_uri} links to {place}, which is not there"
            )
        if mark and Path(place).suffix in _PICTURES:
            up = "../" * folder.count("/") + ("../" if folder else "")
            return f"![{text}]({up}pictures/{Path(place).name})"
        return f"{text} (`{place}`)" if text.strip("`") != place else f"`{place}`"

    return _LINK.sub(replaced, markdown)
