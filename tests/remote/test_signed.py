"""Signed URLs of a real S3 server: they read while they are valid, and say what to do when they are not, without the signature."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

import vdata
from tests.servers import IDENTITIES, seaweedfs
from vdata.errors import AccessError, ChangedError
from vdata.remote import http


@pytest.fixture(scope="module")
def signing(tmp_path_factory):
    """sign(key, seconds) -> URL of an object of a bucket that holds one packed shard; and its store."""
    with seaweedfs(tmp_path_factory.mktemp("s3")) as s3:
        bucket = s3.bucket("signed").removeprefix("s3://")
        key, secret, _ = IDENTITIES["admin"]
        store = S3Store(
            bucket, endpoint=s3.environment("admin")["AWS_ENDPOINT_URL"], access_key_id=key, secret_access_key=secret, region="us-east-1",
            virtual_hosted_style_request=False, client_options={"allow_http": True},
        )  # fmt: skip
        folder = tmp_path_factory.mktemp("packed")
        vdata.from_torch([{"x": n, "name": f"n{n}"} for n in range(9)]).pack(folder, quiet=True)
        obstore.put(store, "a.tar", Path(folder) / "shard-000000.tar")
        yield lambda name, seconds: obstore.sign(store, "GET", name, datetime.timedelta(seconds=seconds)), store


def test_a_signed_url_is_read_until_it_expires(signing):
    sign, _ = signing
    url = sign("a.tar", 3)
    until = time.monotonic() + 3
    pipe = vdata.open(url, cache=False)
    assert [s["x.json"] for s in pipe] == list(range(9))
    signature = url.partition("X-Amz-Signature=")[2].partition("&")[0]
    assert len(signature) > 20 and signature not in str(pipe) + repr(pipe.plan.source.fetcher)
    time.sleep(max(0.0, until + 1.2 - time.monotonic()))
    with pytest.raises(AccessError, match="may have expired") as caught:
        http.read(url, 0, 10)
    with pytest.raises(AccessError) as again:
        list(pipe)
    assert signature not in str(caught.value) + str(again.value)


def test_a_signature_that_was_tampered_with_is_refused(signing):
    sign, _ = signing
    url = sign("a.tar", 60)
    head, mark, rest = url.partition("X-Amz-Signature=")
    with pytest.raises(AccessError):
        http.read(head + mark + ("0" if rest[0] != "0" else "1") + rest[1:], 0, 10)
    assert len(http.read(url, 0, 10)[0]) == 10


def test_an_object_that_is_replaced_is_another_one(signing):
    sign, store = signing
    obstore.put(store, "b.bin", b"first " * 100)
    url = sign("b.bin", 60)
    _, version = http.read(url, 0, 10)
    obstore.put(store, "b.bin", b"other " * 100)
    with pytest.raises(ChangedError):
        http.read(url, 10, 10, version)
