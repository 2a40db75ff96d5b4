"""Definitions drafted from files: what is sure is written and passes, what is not stays open."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.local.check import look

PLAYS = "listener,song,started_at,seconds,liked\n" + "".join(
    f"{n % 7},s{n % 5},2024-09-{1 + n // 10:02d} 10:{n % 60:02d}:00,{n * 1.5},{int(n % 4 == 0)}\n"
    for n in range(100)
)
SONGS = "song,genre,length\n" + "".join(f"s{n},{'ab'[n % 2]},{60 + n % 3}\n" for n in range(5))


def init(folder: Path, *names: str) -> str:
    output = folder / "definition.yaml"
    output.unlink(missing_ok=True)
    files = [str(folder / name) for name in names]
    result = CliRunner().invoke(app, ["init", *files, "--output", str(output)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return output.read_text()


@pytest.mark.slow
def test_a_draft_passes_as_written(tmp_path: Path) -> None:
    (tmp_path / "plays.csv").write_text(PLAYS)
    (tmp_path / "songs.csv").write_text(SONGS)
    text = init(tmp_path, "songs.csv", "plays.csv")
    assert "CHOOSE; then" in text
    assert text.count("CHOOSE") == 1
    assert "event_time: started_at   # the only column of times" in text
    assert "# seconds: seconds" in text  # an outcome: never taken in by itself
    found = look(DatasetDefinition.load(tmp_path / "definition.yaml"))
    assert not found.faults
    assert found.summary["rows"]["items"] == 5
    with pytest.raises(Exception, match="is there already"):
        CliRunner().invoke(
            app,
            ["init", str(tmp_path / "plays.csv"), "--output", str(tmp_path / "definition.yaml")],
            catch_exceptions=False,
        )


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_and_quoted_names_are_no_part_of_names(
    tmp_path: Path, packed: bool
) -> None:
    head, body = PLAYS.split("\n", 1)
    data = ("\ufeff" + ",".join(f'"{n}"' for n in head.split(",")) + "\r\n" + body).encode()
    name = "plays.csv.gz" if packed else "plays.csv"
    (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
    init(tmp_path, name)
    assert not look(DatasetDefinition.load(tmp_path / "definition.yaml")).faults


def dated(days: list[str], seed: int = 0) -> str:
    rows = [f"u{n % 3},i{n % 4},{day} {8 + n // 12:02d}:15,{n % 2}" for n, day in enumerate(days)]
    random.Random(seed).shuffle(rows)
    return "user,item,ts,click\n" + "\n".join(rows) + "\n"


@pytest.mark.slow
def test_days_that_may_be_months_are_left_open_and_check_stops_there(tmp_path: Path) -> None:
    early = [f"{1 + n % 12:02d}.03.2024" for n in range(60)]
    (tmp_path / "log.csv").write_text(dated(early))
    text = init(tmp_path, "log.csv")
    assert "# time_format: CHOOSE   # ts holds" in text
    assert '"%d.%m.%Y %H:%M" or "%m.%d.%Y %H:%M"' in text
    result = CliRunner().invoke(app, ["check", str(tmp_path / "definition.yaml")])
    assert result.exception is not None
    formats = set()
    for seed, sign in ((1, "."), (2, "/")):  # a day past the 12th settles it, wherever it stands
        days = [day.replace(".", sign) for day in [*early, "13.03.2024"]]
        (tmp_path / "log.csv").write_text(dated(days, seed))
        init(tmp_path, "log.csv")
        value = yaml.safe_load((tmp_path / "definition.yaml").read_text())
        formats.add(value["interactions"][0]["time_format"])
        assert not look(DatasetDefinition.load(tmp_path / "definition.yaml")).faults
    assert formats == {"%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M"}


def test_which_of_two_texts_is_positive_is_asked_with_their_shares(tmp_path: Path) -> None:
    text = (
        PLAYS.replace("liked\n", "how\n")
        .replace(",1\n", ",bought\n")
        .replace(",0\n", ",not_bought\n")
    )
    (tmp_path / "log.csv").write_text(text)
    drafted = init(tmp_path, "log.csv")
    assert "labels: CHOOSE" in drafted
    assert "which is positive? bought: 25.0%, not_bought: 75.0%" in drafted


def test_ids_that_look_like_numbers_stay_what_they_are(tmp_path: Path) -> None:
    odd = ["0017", "017", "17", "12E5", "120E4", "1E400", "1_000", "0x1F", "+5", "１７"]
    rows = "".join(
        f"{odd[n % 10]},i{n % 3},2024-09-0{1 + n // 10} 10:00:{n % 60:02d},{n % 2}\n"
        for n in range(40)
    )
    (tmp_path / "log.csv").write_text("user,item,at,click\n" + rows)
    init(tmp_path, "log.csv")
    found = look(DatasetDefinition.load(tmp_path / "definition.yaml"))
    assert not found.faults
    assert found.summary["users"] == len(odd)


def test_lists_kinds_of_rows_and_two_candidates_for_a_role_are_told(tmp_path: Path) -> None:
    text = "session_user,user,item,at,type,shown,ok\n" + "".join(
        f"{n % 5},{n % 4},i{n % 3},2024-09-01 10:00:{n % 60:02d},{'view' if n % 2 else 'clickout'},a|b|c,{n % 2}\n"
        for n in range(60)
    )
    (tmp_path / "log.csv").write_text(text)
    drafted = init(tmp_path, "log.csv")
    assert (
        "user_id: CHOOSE   # several columns speak of user; one of: session_user, user" in drafted
    )
    assert "# shown holds lists" in drafted
    assert 'lists: {shown: "|"}' in drafted
    assert "type looks like kinds of rows (clickout, view)" in drafted


def test_files_without_times_or_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "songs.csv").write_text(SONGS)
    with pytest.raises(Exception, match="has a column of times"):
        init(tmp_path, "songs.csv")
    (tmp_path / "one.csv").write_text("words\nhello\n")
    with pytest.raises(Exception, match="holds one column only"):
        init(tmp_path, "one.csv")


def test_names_that_clash_are_told_apart_and_are_no_lines_of_their_own(tmp_path: Path) -> None:
    names = 'user,item,at,Click,click,impression,hour,"a\nb",クリック,品'
    rows = "".join(
        f"{n % 3},i{n % 4},2024-09-01 10:{n:02d}:00,{n % 2},{n // 2 % 2},{n % 3 % 2},{n % 2},{n},{n % 2},x{n % 5}\n"
        for n in range(60)
    )
    (tmp_path / "log.csv").write_text(f"{names}\n{rows}")
    text = init(tmp_path, "log.csv")
    value = yaml.safe_load(text)
    assert value["tasks"] == ["click", "click_2", "impression_2", "hour_2", "c"]
    assert list(value["interactions"][0]["labels"]) == value["tasks"]
    DatasetDefinition.load(tmp_path / "definition.yaml")
    commented = text.replace("      # ", "      ").split("    labels:")[0]
    assert {"a_b", "c_2"} <= set(yaml.safe_load(commented)["interactions"][0]["columns"])


def test_a_log_of_one_instant_leaves_the_split_open(tmp_path: Path) -> None:
    rows = "".join(f"{n % 3},i{n},2024-09-01 10:00:00,{n % 2}\n" for n in range(20))
    (tmp_path / "log.csv").write_text("user,item,at,click\n" + rows)
    assert "train: {start: CHOOSE, end: CHOOSE}   # all rows are of" in init(tmp_path, "log.csv")
    with pytest.raises(Exception, match="becomes a folder's name"):
        CliRunner().invoke(
            app,
            ["init", str(tmp_path / "log.csv"), "--output", str(tmp_path / "d"), "--name", "../x"],
            catch_exceptions=False,
        )
    assert not (tmp_path / "d").exists()


def test_files_of_a_log_that_differ(tmp_path: Path) -> None:
    """Columns in another order and of another type are the same log; a column less is not."""
    head, *rows = PLAYS.splitlines()
    (tmp_path / "plays-1.csv").write_text("\n".join([head, *rows[:50]]))
    turned = [",".join(reversed(line.split(","))) for line in [head, *rows[50:]]]
    (tmp_path / "plays-2.csv").write_text("\n".join(turned))
    assert "looked at all 100 rows" in init(tmp_path, "plays-*.csv")
    (tmp_path / "plays-3.csv").write_text("listener,song\n1,s1\n")
    with pytest.raises(DataError, match=r"plays-3\.csv has no column 'started_at'"):
        init(tmp_path, "plays-*.csv")
    times = pa.array([1_725_000_000_000 + n for n in range(4)], pa.timestamp("ms"))
    for number, user in enumerate((pa.array([1, 2, 3, 4], pa.int32()), pa.array(list("abcd")))):
        columns = {"user": user, "item": [1, 2, 1, 2], "at": times, "ok": [0, 1, 0, 1]}
        pq.write_table(pa.table(columns), tmp_path / f"log-{number}.parquet")
    assert "user_id: user" in init(tmp_path, "log-*.parquet")
    (tmp_path / "late.csv").write_bytes(PLAYS.replace("s1", "é").encode("cp1252"))
    with pytest.raises(DataError) as error:
        init(tmp_path, "late.csv")
    assert error.value.hint.startswith("Set encoding to what the file was written in")
    assert "write the definition yourself" in error.value.hint
