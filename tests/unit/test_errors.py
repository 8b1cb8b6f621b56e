"""Errors: what, where, what to do; across pickles; without secrets."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdata import errors
from vdata.errors import ChecksumError, DataError, DecodeError, NoIndexError, PlanError, VdataError, redact


def test_the_tree():
    kinds = {"PlanError": ValueError, "NoIndexError": TypeError, "NoKernelError": TypeError, "UnknownDatasetError": LookupError,
             "StateError": ValueError, "MissingPackageError": ImportError}  # fmt: skip
    for name, builtin in kinds.items():
        assert issubclass(getattr(errors, name), VdataError) and issubclass(getattr(errors, name), builtin)
    assert issubclass(NoIndexError, PlanError)
    for name in ("DecodeError", "ShardError", "TruncatedShardError", "ChecksumError", "UnsafeFormatError"):
        assert issubclass(getattr(errors, name), DataError)


def test_a_data_error_says_what_where_and_what_to_do():
    error = DecodeError("broken", key="k", byte=7, do="mend it")
    assert str(error) == "broken [key 'k', byte 7]. mend it"
    assert error.at(key="other", shard="s.tar", field=None) is error
    assert error.where == {"key": "k", "byte": 7, "shard": "s.tar"}, "what an inner layer said stays"
    assert str(error) == "broken [shard 's.tar', key 'k', byte 7]. mend it"
    assert str(DataError("bare")) == "bare"
    with pytest.raises(TypeError, match="no place"):
        error.at(line=3)


def test_errors_survive_pickling():
    error = ChecksumError("differs", url="u", shard="s", key="k", field="f", byte=3, do="restore")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ChecksumError and str(again) == str(error) and again.where == error.where and again.do == error.do
    noted = PlanError("no")
    noted.add_note("in .map(f)")
    assert pickle.loads(pickle.dumps(noted)).__notes__ == ["in .map(f)"]
    error.add_note("in .map(f)")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["in .map(f)"]


SECRET = "s3cr3t"
URLS = [
    "https://me:{}@host/a.tar", "s3://key:{}@bucket/x", "https://host/a?X-Amz-Signature={}", "https://host/a?x-amz-security-token={}&b=1",
    "https://host/a?b=1&sig={}", "https://host/a?token={}#part", "https://host/a?Signature={}&Expires=1", "https://host/a?X-Goog-Credential={}",
    "https://host/a?access_token={}", "https://host/a?AWSAccessKeyId={}", "https://host/a?api_key={}", "https://host/a?apikey={}", "https://host/a?password={}",
    "https://host/a?secret={}", "https://host/a?client_secret={}", "https://host/a#access_token={}", "https://me:p@{}@host/a", "https://me:p/{}@host/a",
    "https://{}@host/a",
    "two urls: https://a:{0}@host/1 and https://host/2?sig={0}",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_no_secret_in_any_string(url):
    assert SECRET not in redact(url.format(SECRET))
    assert SECRET not in str(DataError("x", url=url.format(SECRET)))


@given(st.from_regex(r"https://[a-z]{1,9}\.[a-z]{2}(/[a-z0-9{}.]{1,5}){0,4}(\?(part|page|split)=[a-z0-9]{1,5})?", fullmatch=True))
def test_a_url_without_a_secret_stays_as_it_is(url):
    assert redact(url) == url


def test_paths_stay_as_they_are():
    for path in ("/data/a@b/c.tar", "C:\\data", "data/{000..146}.tar", "memory://a/b", "s3://bucket/key=1/x.tar"):
        assert redact(path) == path
