"""A streaming Parquet reader: shuffled by seed, resumable to the batch, flat in memory.

An epoch is a sequence of rows that depends only on the files, the seed and the epoch's number: row
groups in shuffled order are joined to blocks of about ``shuffle_rows`` rows, and the rows of each
block are shuffled. Batch ``i`` holds the rows ``[i * batch_size, (i + 1) * batch_size)`` of it, so
reading can start at any batch. At most two blocks and a few batches are in memory.

With ``balance_lengths`` the rows of a block are sorted by their number of events before they are cut
into batches, and the batches are shuffled: rows of a batch are then of similar length, so that little
is padded. The block's first rows, which complete a batch of the block before, and its last, which
begin one of the next, stay random. Inside a batch rows stand so that every run of neighbours has
short and long ones alike: shares of processes are work alike.

Batches for a GPU are put into page-locked memory by the thread that reads ahead.

Where a loss compares rows, a batch also has their keys (of user, request and item) and the states that
groups share (:mod:`hemix.models.data.shared_state`), both taken from the whole batch before it is cut
into the processes' parts. With ``together`` the rows of a user (or request) that lie in one block stand
together in it, groups in shuffled order: at most the first and the last group of a batch are cut.

When several processes share the batches, each reads the same rows and keeps its own part of each
batch, neighbouring rows of it, so that the batches are the same however many processes there are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hemix.errors import DataError
from hemix.files import digest_of
from hemix.models.data.batch import Batch
from hemix.models.data.shared_state import shared
from hemix.spec import FeatureSpec

PIECES, PIECE = 16, 1 << 14
"""How many pieces of a file's data its digest looks at, and how many bytes each has."""


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file."""

    path: Path
    index: int
    rows: int


def row_groups(folders: Sequence[Path]) -> list[RowGroup]:
    """The row groups of all Parquet files under ``folders``, files in the order of their names.

    Raises:
        DataError: a folder holds no rows, or a file is not Parquet; the message names it.
    """
    found: list[RowGroup] = []
    for folder in folders:
        groups: list[RowGroup] = []
        for path in sorted(folder.rglob("*.parquet")):
            try:
                metadata = pq.read_metadata(path)
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(f"{path}: not a whole Parquet file ({error}).") from error
            counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            groups += [RowGroup(path, i, rows) for i, rows in enumerate(counts) if rows]
        if not groups:
            raise DataError(
                f"{folder}: there are no rows to read.",
                hint="Check the split times of the definition against the log.",
            )
        found += groups
    return found


def content(path: Path) -> str:
    """A hash that tells a Parquet file from others without reading all of it.

    It is of the size, of the footer (row groups, sizes and statistics of their columns) and of
    pieces spread evenly over the file, which also tell columns without statistics apart: of a small
    file of every byte. The name is not part of it.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            total = hashlib.sha256(str(size).encode())
            file.seek(max(size - 8, 0))
            footer = int.from_bytes(file.read(4), "little") + 8  # its length stands behind it
            last = max(size - PIECE, 0)
            starts = {last * number // (PIECES - 1) for number in range(PIECES)}
            ranges = [(max(size - footer, 0), footer), *((at, PIECE) for at in sorted(starts))]
            for start, length in ranges:
                file.seek(start)
                total.update(file.read(length))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    return total.hexdigest()


class ParquetReader:
    """Batches of the Parquet files under ``folders``.

    Args:
        spec: the columns.
        folders: each with at least one row.
        batch_size: rows per batch, over all processes.
        seed: of the order.
        shuffle_rows: rows that are shuffled together; 0 keeps the rows in their order, balanced or
            not.
        drop_last: leaves out an epoch's last, smaller batch.
        balance_lengths: batches hold rows of similar history length.
        share: ``(k, n)``: the k-th of n equal parts of every batch, k from 0.
        device: where the batches are going.
        keys: batches hold keys and these ``shared`` states: ``user``, ``request``; None: neither.
        together: which key's rows stand together; None: rows are shuffled one by one.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        folders: Sequence[Path],
        *,
        batch_size: int,
        seed: int = 0,
        shuffle_rows: int = 0,
        drop_last: bool = False,
        balance_lengths: bool = False,
        share: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        keys: Collection[str] | None = None,
        together: str | None = None,
    ) -> None:
        self.spec = spec
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle_rows = shuffle_rows
        self.balance_lengths = balance_lengths
        self.share = share
        self.device = device
        self.keys, self.together = keys, together
        self.groups = row_groups(folders)
        self.rows = sum(group.rows for group in self.groups)
        whole, rest = divmod(self.rows, batch_size)
        # One batch is kept even when it is small: a data set is never silently skipped.
        self.batches = max(whole if drop_last else whole + bool(rest), 1)
        labels = [task.column for task in spec.tasks]
        named = [*_columns(spec), *labels, *(spec.keys if keys is not None else ())]
        self._columns = list(dict.fromkeys(named))

    def epoch(self, epoch: int = 0, start: int = 0) -> Generator[Batch, None, None]:
        """The batches ``start ..`` of an epoch, read ahead by a thread."""
        yield from _ahead(self._pinned(self._epoch(epoch, start)))

    def digest(self) -> str:
        """A hash of what the files hold, in the order in which they are read (:func:`content`)."""
        return digest_of([content(path) for path in dict.fromkeys(g.path for g in self.groups)])

    def _pinned(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """``batches`` as their device takes them; for the thread that reads ahead."""
        if self.device is None or self.device.type != "cuda":
            yield from batches
            return
        if self.device.index is not None:  # a thread begins with GPU 0, another process's
            torch.cuda.set_device(self.device)
        for batch in batches:
            yield batch.pinned()

    def part(self, batch: int) -> slice:
        """Which rows of the whole batch number ``batch`` this reader keeps."""
        size = min(self.batch_size, self.rows - batch * self.batch_size)
        part, parts = self.share
        return slice(size * part // parts, size * (part + 1) // parts)

    def _epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        skip = start * self.batch_size
        batch, filled = start, 0  # of the batch that is being filled: its number, its rows so far
        kept: list[Batch] = []
        before = 0
        for number, block in enumerate(self._blocks(epoch)):
            rows = sum(group.rows for group in block)
            open_rows, before = -before % self.batch_size, before + rows
            if skip >= rows:
                skip -= rows
                continue
            data = self._read(block)
            shuffled = self._order(epoch, number, rows)
            if self.together and self.shuffle_rows:
                group = data.keys[self.together].numpy()
                shuffled = _grouped(shuffled, group, [self.seed, epoch, number + 1, 2])
            if self.balance_lengths and self.shuffle_rows:
                seed = [self.seed, epoch, number + 1, 1]
                shuffled = self._balanced(shuffled, data, open_rows, seed)
            order = torch.from_numpy(shuffled[skip:])
            skip = 0
            while len(order) and batch < self.batches:
                taken, order = order.tensor_split([self.batch_size - filled])
                mine = self.part(batch)
                here = slice(max(mine.start - filled, 0), max(mine.stop - filled, 0))
                filled += len(taken)
                kept.append(data.part(taken, here if self.keys is None else slice(None)))
                if filled == self.batch_size:
                    yield self._whole(kept, mine)
                    batch, filled, kept = batch + 1, 0, []
            if batch == self.batches:
                return
        if filled:
            yield self._whole(kept, self.part(batch))

    def _whole(self, kept: list[Batch], mine: slice) -> Batch:
        """A batch of its pieces, which are this process's own or, where rows have keys, everyone's."""
        batch = Batch.concat(kept)
        if self.keys is None:
            return batch
        batch = shared(self.spec, batch, self.keys)
        return batch.part(torch.arange(batch.size), mine)

    def _blocks(self, epoch: int) -> list[list[RowGroup]]:
        order = np.arange(len(self.groups))
        if self.shuffle_rows:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        blocks: list[list[RowGroup]] = []
        rows = 0
        for index in order:
            if not blocks or rows >= self.shuffle_rows:
                blocks.append([])
                rows = 0
            blocks[-1].append(self.groups[index])
            rows += self.groups[index].rows
        return blocks

    def _order(self, epoch: int, block: int, rows: int) -> np.ndarray:
        if not self.shuffle_rows:
            return np.arange(rows)
        return np.random.default_rng([self.seed, epoch, block + 1]).permutation(rows)

    def _balanced(
        self, order: np.ndarray, data: Batch, open_rows: int, seed: Sequence[int]
    ) -> np.ndarray:
        """``order`` with its whole batches, after ``open_rows`` rows, balanced by length."""
        size = self.batch_size
        batches = max(len(order) - open_rows, 0) // size
        if not batches:
            return order
        first, middle, last = np.split(order, [open_rows, open_rows + batches * size])
        events = sum(lists.lengths for lists in data.lists.values())
        lengths = events.numpy() if isinstance(events, torch.Tensor) else np.zeros(data.size)
        middle = middle[np.argsort(lengths[middle], kind="stable")].reshape(batches, size)
        middle = np.random.default_rng(seed).permutation(middle)[:, spread(size)]
        return np.concatenate([first, middle.ravel(), last])

    def _read(self, block: Sequence[RowGroup]) -> Batch:
        tables = []
        for group in block:
            try:
                with pq.ParquetFile(group.path) as file:
                    missing = set(self._columns) - set(file.schema_arrow.names)
                    if missing:
                        raise DataError(f"{group.path}: columns {sorted(missing)} are missing.")
                    tables.append(file.read_row_group(group.index, columns=self._columns))
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(f"{group.path}: cannot be read ({error}).") from error
        table = pa.concat_tables(tables)
        batch = Batch.from_table(self.spec, table)
        if self.keys is None:
            return batch
        names = zip(("request", "user", "item", "time"), self.spec.keys, strict=True)
        return replace(batch, keys={key: key_codes(table[name]) for key, name in names})


def _grouped(order: np.ndarray, groups: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """``order`` with the rows of each group side by side, groups in an order of their own."""
    found, of = np.unique(groups, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(found))
    return order[np.argsort(place[of[order]], kind="stable")]


def key_codes(column: pa.ChunkedArray) -> torch.Tensor:
    """int64 ``[B]``, equal for equal keys, in every file and process: numbers and times as they are,
    texts by 64 bits of their BLAKE2b.
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return torch.from_numpy(column.cast(pa.int64()).to_numpy().copy())
    coded = column.combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    texts = [str(value).encode() for value in coded.dictionary.to_pylist()]
    codes = [hashlib.blake2b(text, digest_size=8).digest() for text in texts]
    numbers = np.frombuffer(b"".join(codes), np.int64)
    return torch.from_numpy(numbers[coded.indices.to_numpy()].copy())


def spread(size: int) -> np.ndarray:
    """The numbers ``0 .. size - 1`` so that any run of neighbours is spread over all of them.

    Numbers by their bits read backwards (van der Corput, 1935).

    Example:
        >>> spread(6).tolist()
        [0, 4, 2, 1, 5, 3]
    """
    bits = max(size - 1, 1).bit_length()
    numbers = np.arange(1 << bits)
    backwards = sum(((numbers >> bit) & 1) << (bits - 1 - bit) for bit in range(bits))
    found = np.asarray(backwards)
    return found[found < size]


def _columns(spec: FeatureSpec) -> list[str]:
    names = [field.name for field in spec.categorical]
    names += [name for field in spec.numeric for name in (field.name, field.bucket)]
    return [*names, *(c.column for sequence in spec.sequences for c in sequence.columns)]


def _ahead(batches: Iterator[Batch], depth: int = 4) -> Iterator[Batch]:
    """Yield ``batches``, at most ``depth`` of them made in advance by a thread."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # handed to the reader's own thread, which raises it
            put(error)

    thread = threading.Thread(target=work, name="parquet-reader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
