"""What fails inside a Beam pipeline comes out as it went in."""

from __future__ import annotations

import errno
import os
import traceback

import apache_beam as beam
import pytest

from hemix.errors import DataError, HemixError, StorageError
from hemix.features.beam.options import beam_options, own_errors
from hemix.limits import FULL


def _data(_: int) -> None:
    raise DataError("a.parquet: row 3 is bad.", hint="Mend it.")


def _ours(_: int) -> None:
    raise StorageError("part-1.parquet: cannot write.", hint=FULL)


def _system(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _words(_: int) -> None:
    raise RuntimeError("could not flush: No space left on device (os error 28)")


def _run(work: object) -> None:
    with own_errors(), beam.Pipeline(options=beam_options(())) as pipeline:
        _ = pipeline | beam.Create([1]) | "work" >> beam.Map(work)


@pytest.mark.parametrize(
    ("work", "kind", "message", "hint"),
    [
        (_data, DataError, "a.parquet: row 3 is bad.", "Mend it."),
        (_ours, StorageError, "part-1.parquet: cannot write.", FULL),
        (_system, StorageError, "A file could not be written (No space left on device).", FULL),
        (_words, StorageError, "A file could not be written (No space left on device).", FULL),
    ],
)
def test_an_error_keeps_its_kind_message_and_hint(
    work: object, kind: type[HemixError], message: str, hint: str
) -> None:
    with pytest.raises(HemixError) as caught:
        _run(work)
    assert type(caught.value) is kind
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)


def test_the_hint_comes_out_of_a_workers_traceback_too() -> None:
    text = f"Traceback\n  line 1\nhemix.errors.StorageError: x: cannot write (No space left on device). {FULL}"
    with pytest.raises(StorageError) as caught, own_errors():
        raise RuntimeError(f"{text} [while running 'scatter']\n\nmore")
    assert caught.value.message == "x: cannot write (No space left on device)."
    assert caught.value.hint == FULL


@pytest.mark.parametrize("hint", ["", "Mend it: write 7, not 7.0. See the guide."])
def test_the_hint_is_told_apart_in_a_traceback_as_text(hint: str) -> None:
    """What several processes hand over: the worker's traceback, once more inside another."""
    try:
        raise DataError("a.parquet: row 3 is bad.", hint=hint)
    except DataError as error:
        told = traceback.format_exc()
        again = type(error)(f"{error} [while running 'work']")
    text = f"{told}\nDuring handling of the above exception, another exception occurred:\n\n"
    text += "".join(traceback.format_exception(again))
    with pytest.raises(DataError) as caught, own_errors():
        raise RuntimeError(text)
    assert (caught.value.message, caught.value.hint) == ("a.parquet: row 3 is bad.", hint)


@pytest.mark.slow
def test_the_hint_comes_out_of_two_processes() -> None:
    flags = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    with (
        pytest.raises(DataError) as caught,
        own_errors(),
        beam.Pipeline(options=beam_options(flags)) as pipeline,
    ):
        _ = pipeline | beam.Create([1]) | "work" >> beam.Map(_data)
    assert (caught.value.message, caught.value.hint) == ("a.parquet: row 3 is bad.", "Mend it.")
