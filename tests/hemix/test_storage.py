"""The same calls over a local folder and over S3 (moto's server); half things are never read."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix import s3, storage
from hemix.errors import StorageError
from hemix.files import sha256_folder


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "place")
    return f"{request.getfixturevalue('bucket')}/some/prefix"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "a.txt").write_text("a")
    (made / "deep" / "er" / "b b+ü.bin").write_bytes(bytes(range(256)))
    (made / "deep" / "empty").write_bytes(b"")
    return made


NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True).filter(lambda n: n.strip("."))


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_join_parent_and_name_fit_together(parts: list[str]) -> None:
    for base in ("s3://bucket", "/root", "relative"):
        whole = storage.join(base, *parts)
        assert storage.name_of(whole) == parts[-1]
        assert storage.parent(whole) == storage.join(base, *parts[:-1])
        assert storage.is_remote(whole) == base.startswith("s3")


def test_a_file_is_read_as_it_was_written(place: str) -> None:
    path = storage.join(place, "x", "y.json")
    assert storage.read_bytes(path) is None
    storage.write_bytes(path, b"one")
    assert storage.read_bytes(path) == b"one"
    assert storage.list_files(place) == ["x/y.json"]
    storage.remove(path)
    storage.remove(path)
    assert storage.read_bytes(path) is None


def test_a_write_on_condition_is_refused_when_another_was_faster(place: str) -> None:
    path = storage.join(place, "state.json")
    with pytest.raises(storage.Conflict, match=r"state\.json"):
        storage.write_bytes(path, b"x", if_match='"0123456789abcdef0123456789abcdef"')
    first = storage.write_bytes(path, b"1", if_match=storage.ABSENT)
    with pytest.raises(storage.Conflict):
        storage.write_bytes(path, b"2", if_match=storage.ABSENT)
    found = storage.fetch(path)
    assert found is not None
    assert found.etag == first
    second = storage.write_bytes(path, b"2", if_match=first)
    with pytest.raises(storage.Conflict):
        storage.write_bytes(path, b"3", if_match=first)
    assert storage.read_bytes(path) == b"2"
    assert storage.write_bytes(path, b"3", if_match=second)


def test_of_many_writers_each_counts_once(place: str) -> None:
    path = storage.join(place, "count")
    storage.write_bytes(path, b"0")

    def add(_: int) -> None:
        while True:
            found = storage.fetch(path)
            assert found is not None
            try:
                storage.write_bytes(path, b"%d" % (int(found.data) + 1), if_match=found.etag)
            except storage.Conflict:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(20)))
    assert storage.read_bytes(path) == b"20"


def test_a_folder_comes_back_as_it_went(place: str, folder: Path, tmp_path: Path) -> None:
    target = storage.join(place, "artifact")
    assert not storage.is_complete(target)
    storage.upload(folder, target)
    storage.upload(folder, target)
    assert storage.is_complete(target)
    back = storage.download(target, tmp_path / "back")
    assert sha256_folder(back) == sha256_folder(folder)
    copy = storage.local_copy(target)
    assert sha256_folder(copy) == sha256_folder(folder)
    assert storage.local_copy(target) == copy
    storage.remove(target)
    assert not storage.is_complete(target)
    assert not storage.list_files(place)


def test_a_single_file_comes_back_too(place: str, folder: Path, tmp_path: Path) -> None:
    target = storage.join(place, "b.bin")
    storage.upload(folder / "deep" / "er" / "b b+ü.bin", target)
    assert storage.download(target, tmp_path / "b").read_bytes() == bytes(range(256))


def test_other_content_is_refused_unless_it_may_replace(
    place: str, folder: Path, tmp_path: Path
) -> None:
    target = storage.join(place, "artifact")
    storage.upload(folder, target)
    (folder / "a.txt").unlink()
    (folder / "c.txt").write_text("c")
    with pytest.raises(StorageError, match="other content"):
        storage.upload(folder, target)
    storage.upload(folder, target, replace=True)
    back = storage.download(target, tmp_path / "back")
    assert sha256_folder(back) == sha256_folder(folder)


def test_half_an_upload_is_not_there(
    bucket: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{bucket}/artifact"
    put = s3.put_file

    def die(path: Path, location: str) -> None:
        if path.name == "empty":
            raise KeyboardInterrupt
        put(path, location)

    with monkeypatch.context() as broken:
        broken.setattr(s3, "put_file", die)
        with pytest.raises(KeyboardInterrupt):
            storage.upload(folder, target)
    assert not storage.is_complete(target)
    with pytest.raises(StorageError, match="completion mark"):
        storage.download(target, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_upload_that_died_is_completed_by_the_next(
    bucket: str, folder: Path, tmp_path: Path
) -> None:
    target = f"{bucket}/artifact"
    storage.write_bytes(f"{target}/left-over", b"half")
    storage.upload(folder, target)
    assert sha256_folder(storage.download(target, tmp_path / "back")) == sha256_folder(folder)
    assert "left-over" not in storage.list_files(target)


def test_a_changed_file_is_found_and_nothing_is_left(
    bucket: str, folder: Path, tmp_path: Path
) -> None:
    target = f"{bucket}/artifact"
    storage.upload(folder, target)
    storage.write_bytes(f"{target}/a.txt", b"z")
    with pytest.raises(StorageError, match=r"a\.txt: not the file that was uploaded"):
        storage.download(target, tmp_path / "back")
    with pytest.raises(StorageError, match=r"a\.txt"):
        storage.local_copy(target)
    assert not (tmp_path / "back").exists()


def test_a_mark_that_leads_out_of_the_folder_is_refused(bucket: str, tmp_path: Path) -> None:
    mark = b'{"files": {"../../evil": {"sha256": "0", "size": 1}}}'
    storage.write_bytes(f"{bucket}/x/.complete/artifact.json", mark)
    with pytest.raises(StorageError, match="leads out"):
        storage.download(f"{bucket}/x/artifact", tmp_path / "back")


def test_a_damaged_copy_is_brought_again(bucket: str, folder: Path) -> None:
    target = f"{bucket}/artifact"
    storage.upload(folder, target)
    copy = storage.local_copy(target)
    (copy / "a.txt").unlink()
    assert (storage.local_copy(target) / "a.txt").read_text() == "a"


def test_a_large_file_goes_in_parts(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boto3.s3.transfer import TransferConfig

    small = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    monkeypatch.setattr(s3, "_transfer", lambda: small)
    (tmp_path / "large").write_bytes(bytes(11 << 20))
    storage.upload(tmp_path / "large", f"{bucket}/large")
    assert storage.download(f"{bucket}/large", tmp_path / "back").stat().st_size == 11 << 20
    found = storage.fetch(f"{bucket}/large")
    assert found is not None
    assert found.etag.endswith('-3"')


def test_parts_of_a_killed_upload_go_with_a_later_one(
    bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3._client()
    name, _, prefix = bucket.removeprefix("s3://").partition("/")
    keys = [f"{prefix}/a/killed".strip("/"), f"{prefix}/other/going".strip("/")]
    for key in keys:
        begun = client.create_multipart_upload(Bucket=name, Key=key)
        part = {"Bucket": name, "Key": key, "UploadId": begun["UploadId"], "PartNumber": 1}
        client.upload_part(**part, Body=bytes(1 << 10))

    def left() -> list[str]:
        listed = client.list_multipart_uploads(Bucket=name).get("Uploads", [])
        return [upload["Key"] for upload in listed if upload["Key"] in keys]

    # moto says of every upload that it began in 2010.
    with monkeypatch.context() as patched:
        patched.setattr(s3.sweep, "__kwdefaults__", {"older_s": 40 * 365 * 86_400.0})
        storage.upload(folder, f"{bucket}/a/new")
    assert left() == keys  # they may still be going
    storage.upload(folder, f"{bucket}/a/newer")
    assert left() == keys[1:]


@pytest.mark.parametrize(
    ("code", "fatal"), [("AccessDenied", 0), ("NotImplemented", 0), ("SlowDown", 1)]
)
def test_a_store_that_does_not_list_uploads_is_written_to_all_the_same(
    bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, fatal: bool
) -> None:
    from botocore.exceptions import ClientError

    client = s3._client()

    class Pages:
        def paginate(self, **_: str) -> Any:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListMultipartUploads")

    ask = client.get_paginator
    monkeypatch.setattr(
        client,
        "get_paginator",
        lambda name: Pages() if name == "list_multipart_uploads" else ask(name),
    )
    if fatal:
        with pytest.raises(StorageError, match=code):
            storage.upload(folder, f"{bucket}/b/new")
    else:
        storage.upload(folder, f"{bucket}/b/new")
        assert s3.names(f"{bucket}/b/new")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("s3://no-such-bucket/x", "no bucket 'no-such-bucket'"),
        ("s3://", "a bucket and a prefix"),
        ("s3://bucket", "a bucket and a prefix"),
        ("gs://bucket/x", "gs:// is not a place"),
    ],
)
def test_a_wrong_address_is_named(bucket: str, folder: Path, location: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as found:
        storage.write_bytes(location, b"x")
    assert location in str(found.value)
    assert found.value.hint
    with pytest.raises(StorageError, match=said):
        storage.upload(folder, location)
    with pytest.raises(StorageError, match=said):
        storage.download(location, folder / "x")


def test_missing_keys_are_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID"):
        storage.read_bytes(f"{bucket}/x")


def test_an_endpoint_that_refuses_ends_soon(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(StorageError, match=f"127.0.0.1:{port} did not answer"):
        storage.read_bytes(f"{bucket}/x")


def test_an_endpoint_that_keeps_silent_ends_too(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "READ_S", 0.2)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(StorageError, match="did not answer"):
            storage.write_bytes(f"{bucket}/x", b"x")
        assert time.monotonic() - start < 60


def test_keys_that_are_refused_are_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    class Refusing:
        meta = type("Meta", (), {"endpoint_url": "http://store"})

        def get_object(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "SignatureDoesNotMatch"}}, "GetObject")

    monkeypatch.setattr(s3, "_client", Refusing)
    with pytest.raises(StorageError, match=r"refused access.*AWS_SECRET_ACCESS_KEY"):
        storage.read_bytes(f"{bucket}/x")


@pytest.mark.parametrize(("status", "code"), [(403, "QuotaExceeded"), (507, "XMinioStorageFull")])
def test_a_store_without_room_says_so(
    status: int, code: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Full(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = f"<Error><Code>{code}</Code><Message>no room</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "file").write_text("x")
    with ThreadingHTTPServer(("127.0.0.1", 0), Full) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for write in (
            lambda: storage.write_bytes(f"{bucket}/x", b"x"),
            lambda: s3.put_file(tmp_path / "file", f"{bucket}/y"),
        ):
            with pytest.raises(StorageError, match=rf"has no room left \({code}") as caught:
                write()
            assert "quota" in caught.value.hint
        server.shutdown()
