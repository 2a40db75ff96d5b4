"""``hemix explain``: the page and the JSON of a version of the real steps, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

import hemix
from hemix.cli.outputs.explain import explain_command
from hemix.components.evaluate.looked import ROWS, read_pictures
from hemix.components.explain.looking import pictures_of_version, read_rows
from hemix.components.explain.page import render
from hemix.components.pages.heatmaps import MOST, chart_of, palest, strongest
from hemix.errors import DataError, DefinitionError, ModelVersionError
from hemix.models.training.recipes import recipe_of


@pytest.fixture(scope="module")
def rows(small_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    file = sorted(small_examples.glob("day=*/*.parquet"))[-1]
    frame = pl.read_parquet(file).filter(pl.col("global_item_id").list.len() > 2)
    frame.head(5).write_parquet(path)
    return path


def test_a_page_and_json_of_a_version(small_model: Path, rows: Path, tmp_path: Path) -> None:
    page = tmp_path / "looked.html"
    explain_command(str(small_model), rows=rows, first=2, output=page)
    told = json.loads((tmp_path / "looked.json").read_text())
    frame = pl.read_parquet(rows)
    assert (told["ranker"], told["rows"]) == ("hemix", 2)
    first = told["pictures"][0]
    user, item = frame["user_id"][0], frame["item_id"][0]
    assert first["title"].endswith(f": user {user}, item {item}")
    events = [str(one) for one in frame["global_item_id"][0].to_list()]
    assert first["axes"][1]["labels"] == events[-30:]
    assert all(value >= 0 for line in first["values"] for value in line)
    text = page.read_text()
    assert all(picture["title"].split(":")[1] in text for picture in told["pictures"])
    assert text.count("<figure") == len(told["pictures"])
    assert text.count("Each line is a query") == 1, "what is read alike is explained once"
    assert "<script" not in text


def test_rows_of_any_kind_of_frame_are_the_same(small_model: Path, rows: Path) -> None:
    version = hemix.load_version(small_model)
    frames = pq.read_table(rows), pd.read_parquet(rows), pl.read_parquet(rows)
    found = [
        [picture.as_json() for picture in version.pictures(frame, first=2)] for frame in frames
    ]
    assert found[0] == found[1] == found[2]


def test_what_cannot_be_shown_is_one_sentence(
    small_model: Path, rows: Path, tmp_path: Path
) -> None:
    version = hemix.load_version(small_model)
    with pytest.raises(DefinitionError, match="'hemix' has nothing to show without rows"):
        version.pictures()
    with pytest.raises(DataError, match=r"lacks 1 of \d+ columns: tab "):
        version.pictures(pl.read_parquet(rows).drop("tab"))
    with pytest.raises(DataError, match="There are no rows to look at"):
        version.pictures(pl.read_parquet(rows).head(0))
    plain = recipe_of("dcnv2").build(version.spec).eval()
    with pytest.raises(DefinitionError, match="'dcnv2' has nothing to show\\."):
        pictures_of_version(plain, version.graph, pl.read_parquet(rows))
    with pytest.raises(DataError, match=r"x.csv: rows are read from .parquet"):
        read_rows(tmp_path / "x.csv", 3)
    with pytest.raises(DataError, match=r"none.parquet: the rows cannot be read"):
        read_rows(tmp_path / "none.parquet", 3)
    with pytest.raises(DefinitionError, match=r"page.json: the page is a file NAME.html"):
        explain_command(str(small_model), rows=rows, output=tmp_path / "page.json")
    damaged = tmp_path / "damaged"
    shutil.copytree(small_model, damaged)
    (damaged / "model.safetensors").unlink()
    with pytest.raises(ModelVersionError, match=r"model\.safetensors: the file is missing"):
        explain_command(str(damaged), rows=rows, output=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def picture(values: list[list[float | None]], middle: float | None = None) -> dict[str, object]:
    down, across = len(values), len(values[0])
    return {
        "title": "<script>title</script>",
        "reading": "Read & <b>look</b>.",
        "about": "weights",
        "unit": "</style>",
        "middle": middle,
        "axes": [
            {"title": "a", "labels": [f"<img src=x>'\"\\ {i}" for i in range(down)]},
            {"title": "b", "labels": [f"\ud800field {j}" for j in range(across)]},
        ],
        "values": values,
    }


def test_texts_of_the_data_are_no_markup() -> None:
    text = render([picture([[0.1, None], [0.2, 1.0]])], version="<script>", ranker="<i>")
    assert "&lt;script&gt;title" in text
    assert not re.search(r"<script|<img|<i>|<b>look", text)
    assert "field 1" in text


def test_colours_begin_at_the_middle_or_where_values_do() -> None:
    assert (palest(picture([[0.0, 2.0]])), strongest(picture([[0.0, 2.0]]))) == (0.0, 2.0)
    assert palest(picture([[1.9, 2.0]])) == 1.9, "differences among large values are seen"
    signed = picture([[-3.0, 2.0]], middle=0.0)
    assert (palest(signed), strongest(signed)) == (0.0, -3.0)
    assert chart_of(picture([[None, None]])) is None


def test_a_large_picture_shows_the_strongest_places() -> None:
    wide = picture([[float(j == 70 or j < 5) + 0.01 for j in range(80)]])
    drawn = chart_of(wide).to_dict()
    title = drawn["encoding"]["x"]["title"]
    assert title == f"b ({MOST} of 80, the strongest)"
    assert "field 70" in drawn["encoding"]["x"]["axis"]["labelExpr"]


def test_evaluate_looks_at_rows_of_a_few_users(small_evaluation: Path, tmp_path: Path) -> None:
    pictures = read_pictures(small_evaluation)
    users = {re.search(r"user (\S+),", str(picture["title"]))[1] for picture in pictures}
    assert 1 < len(users) <= ROWS
    assert read_pictures(tmp_path) == (), "an evaluation of an earlier release"


def test_lists_of_json_lines_are_those_of_every_line(tmp_path: Path) -> None:
    lines = [*([{"hist": []}] * 300), {"hist": [None, 5]}, {"hist": [7]}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert read_rows(path, 1000)["hist"].to_list() == [line["hist"] for line in lines]
    assert read_rows(path, 2)["hist"].to_list() == [[], []]
