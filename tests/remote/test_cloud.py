"""s3, gs and az by obstore, and s3 by fsspec, against real servers, over wires that break."""

import functools
import glob
import os
import random
import re
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import servers
from tests.servers import IDENTITIES, Fault, said, wire
from vdata.errors import AccessError, ChangedError, MissingFileError, RemoteError
from vdata.remote import access, anything, cloud
from vdata.remote.engine import Version
from vdata.remote.patience import Patience

DATA = random.Random(7).randbytes(1_000_003)
KEYS = ["1.tar", "a/1.tar", "a/2.tar", "a/3.txt", "a/b/1.tar", "a/b/c/2.tar", "b/x [1].tar", "b/ü p%41.tar", "b/2/9.tar", "c-1/1.tar", "c-2/2.tar"]
PATTERNS = ["*.tar", "a/*.tar", "a/?.t*", "*/*.tar", "**/*.tar", "a/**/2.tar", "c-*/[0-9].tar", "*/2/*.tar", "b/*", "no/*.tar", "b/x [[]1].tar", "a/[!1].*"]
QUIET = Patience(attempts=4, seconds=20, quiet=1.0, window=0.5, sleep=lambda seconds: None)


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        for name in ("photos", "public", "other"):
            server.bucket(name)
        yield server


@pytest.fixture(scope="session")
def az(tmp_path_factory):
    with servers.azurite(tmp_path_factory.mktemp("azurite")) as server:
        server.container("photos")
        yield server


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No credentials of this machine, and no engine that remembers some."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for engine in (cloud, anything):
        monkeypatch.setattr(engine, "PATIENCE", QUIET)
    forget()
    yield
    forget()


def forget():
    access.forget()
    anything._signed.cache_clear()
    anything._seen.clear()
    if find_spec("s3fs"):
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def admin(s3, monkeypatch):
    become(monkeypatch, s3.environment("admin"))
    return s3


def become(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget()


@pytest.fixture(params=["s3", "s3 by fsspec", "az"])
def place(request, monkeypatch):
    """(engine, a folder that nobody else uses)."""
    server = request.getfixturevalue("az" if request.param == "az" else "s3")
    become(monkeypatch, server.environment() if request.param == "az" else server.environment("admin"))
    kind = request.param.split()[0]
    return (anything if "fsspec" in request.param else cloud), f"{kind}://photos/{request.node.name.replace('[', '/').replace(' ', '-').strip(']')}"


# -- what an engine promises --------------------------------------------------------------------------------------------


def test_a_range_is_a_slice(place):
    engine, folder = place
    url = f"{folder}/data"
    engine.write(url, DATA)
    pin = engine.stat(url)
    assert pin.size == len(DATA) and pin.etag
    draw = random.Random(1)
    starts = [0, 1, len(DATA) - 1, len(DATA), len(DATA) + 5, *(draw.randrange(len(DATA)) for _ in range(8))]
    for start in starts:
        for length in (0, 1, 4096, draw.randrange(200_000)):
            data, version = engine.read(url, start, length, draw.choice([None, pin]))
            assert (bytes(data), version) == (DATA[start : start + length], pin), (start, length)
    engine.write(f"{folder}/empty", b"")
    assert [bytes(engine.read(f"{folder}/empty", start, 9)[0]) for start in (0, 7)] == [b"", b""]
    assert engine.stat(f"{folder}/empty").size == 0 and bytes(engine.read_all(f"{folder}/empty")) == b""


def test_a_listing_is_a_glob(place, tmp_path):
    engine, folder = place
    for key in KEYS:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(key.encode())
        engine.write(f"{folder}/{key}", key.encode())
    for pattern in PATTERNS:
        expected = sorted(name for name in glob.glob(pattern, root_dir=tmp_path, recursive=True) if (tmp_path / name).is_file())
        found = engine.listing(f"{folder}/{pattern}")
        assert found == [f"{folder}/{name}" for name in expected], pattern
        assert [bytes(engine.read_all(url)).decode() for url in found] == expected


def test_large_objects_go_and_come_in_parts(place, tmp_path, monkeypatch):
    engine, folder = place
    monkeypatch.setattr(cloud, "BLOCK", 1 << 20)
    whole = DATA * 6 + b"end"
    (tmp_path / "file").write_bytes(whole)
    engine.put(f"{folder}/large", str(tmp_path / "file"))
    assert (tmp_path / "file").exists()
    assert bytes(engine.read_all(f"{folder}/large", limit=len(whole))) == whole
    with pytest.raises(RemoteError, match=rf"larger than {len(whole) - 1} bytes.*large"):
        engine.read_all(f"{folder}/large", limit=len(whole) - 1)
    engine.remove(f"{folder}/large")
    engine.remove(f"{folder}/large")
    with pytest.raises(MissingFileError, match="no such object"):
        engine.stat(f"{folder}/large")


def test_two_versions_are_never_spliced(place, monkeypatch):
    engine, folder = place
    monkeypatch.setattr(anything, "FRESH", 0.0)
    url = f"{folder}/changing"
    engine.write(url, b"a" * 1000)
    pin = engine.read(url, 0, 500)[1]
    engine.write(url, b"b" * 1000)
    for start in (500, 5000):
        with pytest.raises(ChangedError, match="another object"):
            engine.read(url, start, 500, pin)
    data, now = engine.read(url, 500, 500)
    assert bytes(data) == b"b" * 500 and now != pin
    engine.write(url, b"c" * 400)
    with pytest.raises(ChangedError):
        engine.read(url, 700, 10, now)


def test_what_is_not_there(place):
    engine, folder = place
    for act in (lambda: engine.stat(f"{folder}/no"), lambda: engine.read(f"{folder}/no", 0, 9), lambda: engine.read_all(f"{folder}/no", 9)):
        with pytest.raises(MissingFileError, match=r"no such object.*/no'"):
            act()
    kind = folder.partition(":")[0]
    with pytest.raises(MissingFileError):
        engine.read(f"{kind}://no-such-bucket/a", 0, 9)
    if engine is cloud:
        for act in (lambda: cloud.stat(f"{kind}://no-such-bucket/a"), lambda: cloud.listing(f"{kind}://no-such-bucket/*")):
            with pytest.raises(MissingFileError, match="no such bucket"):
                act()


def test_many_threads(place):
    engine, folder = place
    engine.write(f"{folder}/data", DATA)
    pin = engine.stat(f"{folder}/data")

    def read(number):
        draw = random.Random(number)
        starts = [draw.randrange(len(DATA)) for _ in range(4)]
        return all(bytes(engine.read(f"{folder}/data", start, 1000, pin)[0]) == DATA[start : start + 1000] for start in starts)

    with ThreadPoolExecutor(32) as readers:
        assert all(readers.map(read, range(32)))


# -- refusals -----------------------------------------------------------------------------------------------------------


def refusal(act):
    """The text of an AccessError, in whose whole traceback no secret is."""
    with pytest.raises(AccessError) as caught:
        act()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary" not in shown and "Signature=" not in shown and "RequestId" not in shown
    return str(caught.value)


def test_each_refusal_says_what_to_do(s3, monkeypatch):
    become(monkeypatch, s3.environment("admin"))
    cloud.write("s3://photos/private", b"1")
    mine = IDENTITIES["admin"][0]
    cases = [
        (s3.environment("admin", AWS_SECRET_ACCESS_KEY="canary-wrong"), "the secret key is wrong"),
        (s3.environment("admin", AWS_ACCESS_KEY_ID="NOBODY"), "the access key is not known"),
        (s3.environment("elsewhere"), "may not read there"),
    ]
    for environment, words in cases:
        become(monkeypatch, environment)
        acts = (
            lambda: cloud.read("s3://photos/private", 0, 1),
            lambda: cloud.stat("s3://photos/private"),
            lambda: cloud.read_all("s3://photos/private"),
        )
        for act in acts:
            text = refusal(act)
            assert words in text and "s3://photos/private" in text and mine not in text
        assert words.replace("read", "list") in refusal(lambda: cloud.listing("s3://photos/*"))
    become(monkeypatch, s3.environment("reader"))
    assert bytes(cloud.read_all("s3://photos/private")) == b"1"
    assert "may not write there" in refusal(lambda: cloud.write("s3://photos/private", b"2"))
    assert "may not remove there" in refusal(lambda: cloud.remove("s3://photos/private"))
    for environment in (s3.environment("admin", AWS_SECRET_ACCESS_KEY="canary-wrong"), s3.environment("elsewhere")):
        become(monkeypatch, environment)
        refusal(lambda: anything.read("s3://photos/private", 0, 1))


def test_a_wrong_clock_is_told_from_a_wrong_key(admin):
    libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    found = find_spec("libfaketime")
    for folder in found.submodule_search_locations if found and found.submodule_search_locations else ():
        libraries += glob.glob(f"{folder}/vendor/libfaketime/src/libfaketime.so.1")
    if not libraries:
        pytest.skip("needs libfaketime: apt install faketime, or pip install libfaketime")
    code = "from vdata.remote import cloud; cloud.read('s3://photos/any', 0, 1)"
    environment = {**os.environ, "LD_PRELOAD": libraries[0], "FAKETIME": "-2d", "DONT_FAKE_MONOTONIC": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert "AccessError" in done.stderr and "this machine's clock is wrong" in done.stderr, done


def test_public_buckets_need_no_credentials(s3, monkeypatch):
    become(monkeypatch, s3.environment("admin"))
    cloud.write("s3://public/open", DATA)
    cloud.write("s3://photos/private", b"1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    become(monkeypatch, s3.anonymous())
    for engine in (cloud, anything):
        assert bytes(engine.read("s3://public/open", 10, 10)[0]) == DATA[10:20]
        assert engine.listing("s3://public/o*") == ["s3://public/open"]
    assert "no credentials were found" in refusal(lambda: cloud.read("s3://photos/private", 0, 1))
    # With files that only boto3 reads.
    Path(os.environ["HOME"], ".aws").mkdir()
    Path(os.environ["HOME"], ".aws", "credentials").write_text("[default]\naws_access_key_id=A\naws_secret_access_key=canary\n")
    forget()
    if not find_spec("boto3"):
        assert "pip install boto3" in refusal(lambda: cloud.read("s3://photos/private", 0, 1))


def test_a_profile_whose_session_is_over(admin, monkeypatch):
    def over():
        raise RuntimeError("canary")

    monkeypatch.setattr(access, "_credentials", functools.cache(lambda family: ({}, over)))
    access.store.cache_clear()
    assert "aws sso login" in refusal(lambda: cloud.read("s3://photos/a", 0, 1))


def test_a_storage_account_must_be_named():
    assert "AZURE_STORAGE_ACCOUNT_NAME" in refusal(lambda: cloud.read("az://photos/a", 0, 1))


def test_a_machine_without_a_role_is_asked_once(s3, monkeypatch):
    become(monkeypatch, s3.environment("admin"))
    cloud.write("s3://public/open", b"1")
    become(monkeypatch, s3.anonymous())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name)
    with wire(s3.port, *[Fault("stall")] * 2) as silent:
        become(monkeypatch, {"AWS_METADATA_ENDPOINT": f"http://127.0.0.1:{silent}"})
        began = time.monotonic()
        for _ in range(5):
            assert bytes(cloud.read("s3://public/open", 0, 1)[0]) == b"1"
            assert access.anonymous("s3")
        assert 0.9 < time.monotonic() - began < 2


def test_the_role_of_a_machine(s3, monkeypatch):
    become(monkeypatch, s3.anonymous())
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    key, secret, _ = IDENTITIES["admin"]
    role = f'{{"Code": "Success", "AccessKeyId": "{key}", "SecretAccessKey": "{secret}", "Token": "", "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC"}}'
    token, asked = said("200 OK", "token"), [said("200 OK", text) for text in ("token", "role", role)]
    with wire(s3.port, token, *asked, *asked) as machine:  # whether there is one; then to write, and to read
        become(monkeypatch, {"AWS_METADATA_ENDPOINT": f"http://127.0.0.1:{machine}"})
        cloud.write("s3://photos/by-role", b"1")
        assert bytes(cloud.read_all("s3://photos/by-role")) == b"1"


# -- networks -----------------------------------------------------------------------------------------------------------


def over(monkeypatch, port):
    become(monkeypatch, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})


@pytest.mark.parametrize(
    "how, after",
    [("reset", 0), ("reset", 200), ("reset", 300_000), ("end", 0), ("end", 200), ("end", 300_000), ("stall", 0), ("stall", 300_000), ("drip", 300_000)],
)
def test_right_bytes_over_a_wire_that_breaks(admin, monkeypatch, how, after):
    cloud.write("s3://photos/data", DATA)
    with wire(admin.port, Fault(how, after=after)) as port:
        over(monkeypatch, port)
        assert bytes(cloud.read("s3://photos/data", 1000, 800_000)[0]) == DATA[1000:801_000]


def test_progress_renews_the_tries(admin, monkeypatch):
    cloud.write("s3://photos/data", DATA)
    monkeypatch.setattr(cloud, "PATIENCE", Patience(attempts=2, quiet=5, sleep=lambda seconds: None))
    with wire(admin.port, *[Fault("reset", after=60_000)] * 14) as port:
        over(monkeypatch, port)
        assert bytes(cloud.read("s3://photos/data", 0, len(DATA))[0]) == DATA


BUSY = said("503 Slow Down", "<Error><Code>SlowDown</Code><Message>canary</Message></Error>")


def test_a_busy_server_is_asked_again_but_not_for_ever(admin, monkeypatch):
    cloud.write("s3://photos/data", DATA)
    for times, good in ((7, True), (60, False)):
        slept = []
        monkeypatch.setattr(cloud, "PATIENCE", Patience(attempts=4, quiet=5, sleep=slept.append))
        with wire(admin.port, *[BUSY] * times) as port:
            over(monkeypatch, port)
            if good:
                assert bytes(cloud.read("s3://photos/data", 0, 10)[0]) == DATA[:10]
            else:
                with pytest.raises(RemoteError, match=r"503 SlowDown \(4 attempts.*s3://photos/data") as caught:
                    cloud.read("s3://photos/data", 0, 10)
                assert "canary" not in "".join(traceback.format_exception(caught.value))
        assert max(slept) >= 0.9


@pytest.mark.parametrize(
    "answer, kind, words",
    [
        (said("400 Bad Request", "<Error><Code>ExpiredToken</Code></Error>"), AccessError, "session has expired"),
        (said("403 Forbidden", "<Error><Code>RequestTimeTooSkewed</Code><ServerTime>2026-01-02T03:04:05Z</ServerTime></Error>"), AccessError, r"clock is wrong.*2026-01-02T03:04:05Z"),
        (said("400 Bad Request", "<Error><Code>AuthorizationHeaderMalformed</Code></Error>"), AccessError, "AWS_REGION"),
        (said("403 Forbidden"), AccessError, "403 Forbidden"),
        (said("401 Unauthorized", "<html>canary</html>"), AccessError, "401 Unauthorized"),
        (said("404 Not Found", "<html>canary</html>"), MissingFileError, "no such object"),
        (said("301 Moved Permanently", "<Error><Code>PermanentRedirect</Code></Error>"), RemoteError, "AWS_REGION"),
        (said("400 Bad Request", "<Error><Code>InvalidArgument</Code></Error>"), RemoteError, "400 InvalidArgument"),
        (said("412 Precondition Failed"), ChangedError, "another object"),
        (said("429 Too Many Requests"), RemoteError, r"429 Too Many Requests \(4 attempts"),
        (said("500 Internal Server Error", "<Error><Code>InternalError</Code></Error>"), RemoteError, r"500 InternalError \(4 attempts"),
        (Fault("end"), RemoteError, r"the connection broke \(4 attempts"),
        (Fault("answer", answer=b"nonsense\r\n\r\n"), RemoteError, r"\(4 attempts"),
    ],
    ids=str,
)
def test_what_an_answer_means(admin, monkeypatch, answer, kind, words):
    with wire(admin.port, *[answer] * 40) as port:
        over(monkeypatch, port)
        with pytest.raises(RemoteError) as caught:
            cloud.read("s3://photos/data", 0, 10)
    assert type(caught.value) is kind and re.search(words, str(caught.value)), caught.value
    assert "canary" not in "".join(traceback.format_exception(caught.value)) and "s3://photos/data" in str(caught.value)


def test_hosts_that_are_not_there(admin, monkeypatch):
    for endpoint, words in {"http://127.0.0.1:1": "refused", "http://no-host.invalid": "name is not known", f"https://127.0.0.1:{admin.port}": "no secure connection"}.items():
        become(monkeypatch, {"AWS_ENDPOINT_URL": endpoint})
        with pytest.raises(RemoteError, match=words):
            cloud.read("s3://photos/data", 0, 10)


# -- other processes ----------------------------------------------------------------------------------------------------

FORK = """
import os, signal, sys
from vdata.errors import RemoteError
from vdata.remote import anything, cloud
if sys.argv[1] == "hidden":
    anything.find_spec = lambda name: None
data, pin = cloud.read("s3://photos/data", 5, 10)
signal.alarm(30)
if os.fork() == 0:
    signal.alarm(20)
    try:
        again, same = cloud.read("s3://photos/data", 5, 10, pin)
        print(again == data, cloud.listing("s3://photos/dat*"), len(cloud.read_all("s3://photos/data")))
    except RemoteError as error:
        print(type(error).__name__, error)
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("s3fs, words", [("there", "True ['s3://photos/data'] 1000003"), ("hidden", "RemoteError s3:// was read before this process was forked")])
def test_a_forked_process_does_not_hang(admin, s3fs, words):
    cloud.write("s3://photos/data", DATA)
    done = subprocess.run([sys.executable, "-c", FORK, s3fs], capture_output=True, text=True, timeout=40)
    assert done.stdout.startswith(words), done
    assert s3fs == "there" or "forkserver" in done.stdout


# -- Google -------------------------------------------------------------------------------------------------------------


def test_google(tmp_path, monkeypatch):
    """What this emulator has of the XML interface: reads and listings."""
    with servers.fake_gcs(tmp_path) as gcs:
        folder = gcs.bucket("photos")
        become(monkeypatch, {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{gcs.port}"})
        for key in ("set/1.tar", "set/2.tar", "set/3.txt"):
            gcs.upload("photos", key, DATA + key.encode())
        assert cloud.listing(f"{folder}/set/*.tar") == [f"{folder}/set/1.tar", f"{folder}/set/2.tar"]
        data, pin = cloud.read(f"{folder}/set/1.tar", 7, 1000)
        assert bytes(data) == DATA[7:1007] and pin == cloud.stat(f"{folder}/set/1.tar") and pin.size == len(DATA) + 9
        assert bytes(cloud.read_all(f"{folder}/set/3.txt")) == DATA + b"set/3.txt"
        assert bytes(cloud.read(f"{folder}/set/1.tar", 5_000_000, 9, pin)[0]) == b""
        gcs.upload("photos", "set/1.tar", DATA[::-1] + b"set/1.tar")  # it does not know If-Match: the answer is compared
        with pytest.raises(ChangedError):
            cloud.read(f"{folder}/set/1.tar", 0, 10, pin)
        with pytest.raises(MissingFileError):
            cloud.read(f"{folder}/set/9.tar", 0, 10)
        assert cloud.read(f"{folder}/set/1.tar", 0, 10, Version("", -1))[1] != pin
