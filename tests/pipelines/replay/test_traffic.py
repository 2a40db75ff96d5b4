"""Requests made of a log are such as the endpoint takes, whatever ids the log has."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hemix.bounds import MAX_TEXT
from hemix.components.ingest import step
from hemix.pipelines.demo.replay.traffic import read_traffic
from hemix.serving.messages.request import RequestContract
from tests.logs import views, write_log


@pytest.mark.parametrize("length", [1, MAX_TEXT - 20, MAX_TEXT])
def test_requests_of_long_user_ids_are_sendable(tmp_path: Path, length: int) -> None:
    users = [letter.rjust(length, "u") for letter in "abcdefghij"]
    raw = views(90).with_columns(customer=pl.Series(users * 9))
    definition = write_log(tmp_path / "log", views=raw)
    step.run(definition=definition, out_events=tmp_path / "events")
    traffic = read_traffic(definition, tmp_path / "events", prefix="replay")
    contract = RequestContract(user_id="text", item_id="text", context={"device": "text"})
    rows = traffic.requests.select("request_id", "user_id", "item_ids").rows(named=True)
    assert {contract.parse(row).user_id for row in rows} == set(users)
    assert traffic.requests["request_id"].n_unique() == len(users)
