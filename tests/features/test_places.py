"""Places of users are names, not patterns: only what stands in ``paths`` may be a glob."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from s3fs import S3FileSystem

from hemix.errors import DataError, DefinitionError, EnvironmentProblem, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.locations import find_files
from hemix.features.sources.tables import read_interactions
from hemix.features.transform.pruned import restore
from hemix.pipelines.local.folder import RunFolder
from tests.logs import DEFINITION, write_log
from tests.object_store import object_store

pytestmark = pytest.mark.slow

ODD = [
    "with [brackets]",
    "a*b?c",
    "[!x] [a-z]",
    "50% & #1; 'q' \"d\"",
    "%20 %2F {x} ~ $HOME",
    "ünï 漢字 🙂",
    "a::b",
    "k=v=w",
    " spaces ",
]


def named(root: str, *paths: str) -> list[str]:
    """The files that interactions of these paths read, relative to ``root``."""
    value: dict[str, Any] = {**DEFINITION, "root": root}
    value["interactions"] = [{**DEFINITION["interactions"][0], "paths": list(paths)}]
    definition = DatasetDefinition.parse(value)
    files = find_files(definition, definition.interactions[0], "interactions[0]")
    place = root.split("://", 1)[-1]  # stores' paths begin with the bucket
    return [os.path.relpath(file.path, place) for file in files]


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a,b\n1,2\n")


@pytest.mark.parametrize("name", ODD)
def test_a_log_is_read_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    definition = write_log(tmp_path / name)
    value = definition.model_dump(mode="json", exclude={"root"})
    (tmp_path / name / "definition.yaml").write_text(yaml.safe_dump(value))
    loaded = DatasetDefinition.load(tmp_path / name / "definition.yaml")
    for said in (loaded, definition):
        rows = read_interactions(said, infer_types(said))
        assert sum(frame.height for frame in rows) == 600
    below = DatasetDefinition.load(_moved(tmp_path, name, value))
    assert find_files(below, below.users[0], "users[0]")[0].name == "customers.csv"


def _moved(folder: Path, root: str, value: dict[str, Any]) -> Path:
    """A definition beside the folder, which is its ``root``."""
    path = folder / "beside.yaml"
    path.write_text(yaml.safe_dump({**value, "root": root}))
    return path


@pytest.mark.parametrize("name", ODD)
def test_globs_below_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    fill(root, "p1.csv", "p2.csv", "q.csv", "deep/er/p3.csv", "deep/_tmp/p4.csv", ".p5.csv")
    assert named(str(root), "p*.csv") == ["p1.csv", "p2.csv"]
    assert named(str(root), "**/p?.csv") == ["deep/er/p3.csv", "p1.csv", "p2.csv"]
    assert named(str(root), "[!p].csv") == ["q.csv"]
    assert named(str(root), "deep") == ["deep/er/p3.csv"]
    assert named(str(root), "deep/_tmp/*.csv") == ["deep/_tmp/p4.csv"]
    assert named(str(tmp_path), f"{name}/q.csv") == [f"{name}/q.csv"]
    for scheme in ("", "file://"):
        assert named(str(tmp_path), f"{scheme}{root}/q.csv") == [f"{name}/q.csv"]
        assert named(f"{scheme}{root}", "[p]1.csv") == ["p1.csv"]
        assert named(str(tmp_path), f"{scheme}{root}/[q]*.csv") == [f"{name}/q.csv"]
    assert named(str(tmp_path), f"{name}/d*p/e?/*.csv") == [f"{name}/deep/er/p3.csv"]


@pytest.mark.parametrize("name", [*(f"{odd}.csv" for odd in ODD), "$HOME.csv"])
def test_a_path_that_names_a_file_as_it_is_goes_before_a_glob(tmp_path: Path, name: str) -> None:
    fill(tmp_path, name, "a_b_c.csv", "x a.csv", "with b.csv")
    assert named(str(tmp_path), name) == [name]


def test_variables_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "home/x.csv", "logs [1]/y.csv")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAY", "logs [1]")
    assert named(str(tmp_path), "~/x.csv") == ["home/x.csv"]
    assert named(str(tmp_path), "$DAY/y.csv") == ["logs [1]/y.csv"]
    with pytest.raises(DataError, match=r"no file matches .*/\$NOSUCH/y\.csv"):
        named(str(tmp_path), "$NOSUCH/y.csv")


def test_each_file_once_through_links(tmp_path: Path) -> None:
    fill(tmp_path, "log/day=1/a.csv", "log/day=2/b.csv", "elsewhere/c.csv")
    (tmp_path / "log" / "a_latest").symlink_to(tmp_path / "log" / "day=2")
    (tmp_path / "log" / "around").symlink_to(tmp_path / "log")
    (tmp_path / "log" / "c.csv").symlink_to(tmp_path / "elsewhere" / "c.csv")
    (tmp_path / "way in").symlink_to(tmp_path / "log")
    expected = ["c.csv", "day=1/a.csv", "day=2/b.csv"]
    assert named(str(tmp_path / "log"), ".") == expected
    assert named(str(tmp_path), "log") == [f"log/{n}" for n in expected]
    assert named(str(tmp_path / "log"), "**/*.csv") == expected
    assert named(str(tmp_path), "way in/day=*/*.csv") == [
        "way in/day=1/a.csv",
        "way in/day=2/b.csv",
    ]
    (tmp_path / "log" / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"gone\.csv leads to a file that is not there"):
        named(str(tmp_path), "log")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a.csv")
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv is not a regular file"):
        named(str(tmp_path), "*.csv")
    (tmp_path / "none").mkdir()
    for path in ("none", "none/*.csv", "a.csv/b.csv", "nosuch[1].csv"):
        with pytest.raises(DataError, match="no file matches"):
            named(str(tmp_path), path)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    S3FileSystem.clear_instance_cache()  # it would keep another test's address
    root = "logs [a] #1 50%x"
    names = ["p1.csv", "p2.csv", "day [1].csv", "dé=S%C3%A3o/p3.csv", "_tmp/p4.csv", "day 1.csv"]
    with object_store({f"{root}/{name}": b"a,b\n1,2\n" for name in names}) as address:
        for name in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
            monkeypatch.setenv(name, address)
        place = f"{scheme}://bucket/{root}"
        assert named(place, "p*.csv") == ["p1.csv", "p2.csv"]
        assert named(place, "**/p*.csv") == ["dé=S%C3%A3o/p3.csv", "p1.csv", "p2.csv"]
        assert named(place, "day [1].csv") == ["day [1].csv"]
        assert named(place, "day ?.csv") == ["day 1.csv"]
        assert named(place, f"{place}/day ?.csv") == ["day 1.csv"]
        assert named(place, f"{place}/day [1].csv") == ["day [1].csv"]
        with pytest.raises(DataError, match="no file matches"):
            named(place, "nosuch*.csv")
    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("root", "said", "kind", "message"),
    [
        ("s3://b/p", {}, StorageError, "no keys for S3 are set"),
        ("s3://b", {"AWS_SECRET_ACCESS_KEY": "k"}, StorageError, "no keys for S3 are set"),
        ("s3://b/p", {"AWS_PROFILE": "work"}, StorageError, r"\(work\) could not be found"),
        (
            "s3://a b/p",
            {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"},
            DataError,
            'name "a b"',
        ),
        (
            "s3://b/p",
            {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"},
            StorageError,
            "did not answer",
        ),
        ("s3://", {}, DataError, "names no bucket"),
    ],
)
@pytest.mark.parametrize("path", ["day.csv", "*.csv"])
def test_a_store_that_cannot_be_asked_is_named(
    monkeypatch: pytest.MonkeyPatch,
    root: str,
    said: dict[str, str],
    kind: type[Exception],
    message: str,
    path: str,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(kind, match=message) as caught:
        named(root, path)
    assert "interactions[0].paths" in str(caught.value) or "x.paths" in str(caught.value)
    assert caught.value.hint  # type: ignore[attr-defined]
    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"\x1f\x8b\x08\0packed", b"PA"])
def test_what_is_not_parquet_is_called_so(tmp_path: Path, data: bytes) -> None:
    definition = write_log(tmp_path)
    (tmp_path / "products.parquet").write_bytes(data)
    with pytest.raises(StorageError, match=r"is not parquet: it begins with b'.*format: csv"):
        infer_types(definition)


def test_text_rules_for_parquet_alone_are_refused(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["items"][0]["separator"] = ";"

    definition = write_log(tmp_path, change=change)
    with pytest.raises(DefinitionError, match=r"items\[0\]: says how CSV text is written"):
        find_files(definition, definition.items[0], "items[0]")


def test_a_run_is_not_begun_where_tensorflow_would_see_a_pattern(tmp_path: Path) -> None:
    for name in ("out [1]", "a*b", "a?b", "a\\b"):
        with pytest.raises(EnvironmentProblem, match="cannot be made in or read from a folder"):
            RunFolder.at(tmp_path / name)
        with pytest.raises(EnvironmentProblem, match="cannot be made in or read from a folder"):
            restore(tmp_path / name / "transform_fn")
    assert RunFolder.at(tmp_path / "out #1 50%, k=v").root == tmp_path / "out #1 50%, k=v"


# ---- folders that name a value --------------------------------------------------------------------


def column(folder: Path, values: dict[str, str], *, read: str, csv: bool = False) -> list[Any]:
    """What the column ``read`` holds, over files of one row in the folders of ``values``."""
    for number, place in enumerate(values):
        target = folder / "log" / place
        target.mkdir(parents=True)
        row = pl.DataFrame({"customer": [number], "product": ["p1"], "at": ["2024-03-01"]})
        row = row.with_columns(pl.lit(0).alias("bought"))
        row.write_csv(target / "x.csv") if csv else row.write_parquet(target / "x.parquet")

    def change(value: dict[str, Any]) -> None:
        value["interactions"][0]["paths"] = ["log"]
        value["interactions"][0]["columns"]["device"] = read

    definition = write_log(folder, change=change)
    rows = pl.concat(list(read_interactions(definition, infer_types(definition))))
    found: list[Any] = rows.sort("user_id")["device"].to_list()
    return found


MISSING = -(2**63)


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize(
    ("read", "values"),
    [
        ("city", {"city=S%C3%A3o%20Paulo": "São Paulo", "city=Bern": "Bern", "city=Köln": "Köln"}),
        ("t", {"t=10%3A30": "10:30", "t=a=b": "a=b", "t=x%3Dy%2Fz": "x=y/z", "t=100%": "100%"}),
        ("d", {"d=7": 7, "d=__HIVE_DEFAULT_PARTITION__": MISSING, "d=-12": -12, "d=": MISSING}),
        ("d", {"d=7": "7", "d=x": "x", "d=__HIVE_DEFAULT_PARTITION__": ""}),
        ("d", {"d=7": "7", "d=07": "07"}),
        ("Device", {"Device=Web": "Web", "Device=web": "web"}),
        ("a b", {"a%20b=1": 1, "a b=2": 2}),
        ("q", {"q=1/r=2": 1, "q=3/r=__HIVE_DEFAULT_PARTITION__": 3}),
        ("q", {"q=__HIVE_DEFAULT_PARTITION__": ""}),
    ],
)
def test_folders_name_values(tmp_path: Path, csv: bool, read: str, values: dict[str, Any]) -> None:
    assert column(tmp_path, values, read=read, csv=csv) == list(values.values())


def test_a_files_own_text_keeps_its_type_below_a_folder_of_that_name(tmp_path: Path) -> None:
    write_log(tmp_path / "device=1")
    frame = pl.read_csv(tmp_path / "device=1" / "views.csv").with_columns(device=pl.lit("7"))
    frame.write_parquet(tmp_path / "device=1" / "views.parquet")

    def change(value: dict[str, Any]) -> None:
        value["interactions"][0]["paths"] = ["views.parquet"]

    definition = write_log(tmp_path / "device=1", change=change)
    assert str(infer_types(definition).context["device"]) == "string"


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder 'city=%E9' of .* not UTF-8"):
        column(tmp_path, {"city=%E9": ""}, read="city")


def test_what_arrow_writes_is_read_back(tmp_path: Path) -> None:
    import pyarrow.dataset as ds

    texts = ["São Paulo", "a/b", "x=y", "50%", None, "10:30", "q?*[1]"]
    frame = pl.DataFrame(
        {
            "customer": range(len(texts)),
            "product": ["p1"] * len(texts),
            "at": ["2024-03-01"] * len(texts),
            "bought": [0] * len(texts),
            "device": texts,
        }
    )
    ds.write_dataset(
        frame.to_arrow(),
        tmp_path / "log",
        format="parquet",
        partitioning=["device"],
        partitioning_flavor="hive",
    )
    assert column(tmp_path, {}, read="device") == [text or "" for text in texts]
