"""A bucket's store, and where its credentials come from: the providers' usual places, nowhere else.

    s3          AWS_* variables, web identity, containers; ~/.aws and SSO where boto3 is installed; the machine's role
    gs          GOOGLE_* variables, gcloud's application default; the machine's account; STORAGE_EMULATOR_HOST
    az, abfs    AZURE_* variables; the machine's identity

Where there are none a bucket is asked anonymously, as public ones want it. obstore by itself would rather wait seconds, at every
request, for a metadata service that only machines of a cloud have; it is asked for here, once.
"""

from __future__ import annotations

import http.client
import json
import os
from datetime import timedelta
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import obstore.store
from obstore.exceptions import BaseError

from vdata.errors import AccessError

# Any of these says where credentials are; obstore reads them itself.
_VARIABLES = {
    "s3": (
        "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SKIP_SIGNATURE",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN", "GOOGLE_SKIP_SIGNATURE",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_STORAGE_USE_EMULATOR", "AZURE_USE_AZURE_CLI",
        "IDENTITY_ENDPOINT", "AZURE_SKIP_SIGNATURE",
    ),
}  # fmt: skip
# What a machine of that cloud answers with 200 if it has a role: (method, path, header, its value).
_METADATA = {
    "s3": ("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60"),
    "gs": ("GET", "/computeMetadata/v1/instance/service-accounts/default/email", "Metadata-Flavor", "Google"),
    "az": ("GET", "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F", "Metadata", "true"),
}
_WHERE = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_USE_AZURE_CLI=true after `az login`",
}
_AWS_FILES = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))


@lru_cache(256)
def store(kind: str, bucket: str, quiet: float | None) -> Any:
    """The store of a bucket, one a process. `quiet` is the longest silence of an answer in seconds; None is for uploads, which
    hear nothing while they send: each request of them (5 MiB at most) has ten minutes.
    """
    family = _family(kind)
    config, provider = _credentials(family)
    config = dict(config)
    if family == "gs" and (emulator := os.environ.get("STORAGE_EMULATOR_HOST")):
        base = emulator if "://" in emulator else f"http://{emulator}"
        nobody = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
        config = {"service_account_key": json.dumps({"gcs_base_url": base, **nobody})}
    # There is no limit to the whole of an answer: a large object over a slow line is not an error, silence is.
    limits = {"timeout": "10m"} if quiet is None else {"timeout": "1day", "read_timeout": f"{round(quiet * 1000)}ms"}
    client = {"connect_timeout": "10s", **limits, "allow_http": _plain_http()}
    named = {"credential_provider": provider} if provider else {}
    # Few and quick tries of its own; those that count are vdata's.
    backoff = {"init_backoff": timedelta(seconds=0.05), "max_backoff": timedelta(seconds=1), "base": 2}
    retry = {"max_retries": 2, "retry_timeout": timedelta(seconds=5), "backoff": backoff}
    url = f"{kind}://{bucket}"
    try:
        return obstore.store.from_url(url, config=config, client_options=client, retry_config=retry, **named)  # type: ignore[arg-type]
    except (ValueError, BaseError) as error:
        do = f"check the URL; {_WHERE[family]}; obstore is to be 0.11 or newer"
        raise AccessError(f"there is not enough to ask this storage with ({type(error).__name__})", url=url, do=do) from None


def anonymous(kind: str) -> bool:
    """Whether no credentials were found, so that buckets are asked without."""
    return "skip_signature" in _credentials(_family(kind))[0]


def advice(kind: str) -> str:
    """What to do where there are no credentials."""
    family = _family(kind)
    if family == "s3" and _aws_files() and not find_spec("boto3"):
        return "~/.aws is read when boto3 is installed: pip install boto3, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return _WHERE[family]


def forget() -> None:
    """Look for credentials anew."""
    store.cache_clear()
    _credentials.cache_clear()


def _family(kind: str) -> str:
    return "az" if kind == "abfs" else kind


@cache
def _credentials(family: str) -> tuple[dict[str, Any], Any]:
    """(config, credential provider or None) for obstore."""
    if any(os.environ.get(name) for name in _VARIABLES[family]):
        return {}, None
    if family == "s3" and _aws_files() and find_spec("boto3"):
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            return {}, Boto3CredentialProvider()
        except BotoCoreError as error:
            do = "check AWS_PROFILE and ~/.aws; run `aws sso login` if it uses SSO"
            raise AccessError(f"~/.aws cannot be used ({type(error).__name__})", do=do) from None
        except ValueError:  # files, but no credentials in them
            return {"skip_signature": True}, None
    gcloud = os.path.expanduser("~/.config/gcloud/application_default_credentials.json")
    if (family == "gs" and os.path.exists(gcloud)) or _machine_has_a_role(family):
        return {}, None
    return {"skip_signature": True}, None


def _aws_files() -> bool:
    return bool(os.environ.get("AWS_PROFILE")) or any(
        os.path.exists(os.path.expanduser(os.environ.get(name, usual))) for name, usual in _AWS_FILES
    )


def _machine_has_a_role(family: str) -> bool:
    if family == "s3" and os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    given = os.environ.get("AWS_METADATA_ENDPOINT") if family == "s3" else None
    host = urlsplit(given or "http://169.254.169.254").netloc  # the same address in all three clouds
    method, path, header, value = _METADATA[family]
    service = http.client.HTTPConnection(host, timeout=1)
    try:
        service.request(method, path, headers={header: value})
        return service.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        service.close()


def _plain_http() -> bool:
    """Whether an endpoint was named that has no TLS."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "GOOGLE_BASE_URL")
    emulated = any(os.environ.get(name) for name in ("STORAGE_EMULATOR_HOST", "AZURE_STORAGE_USE_EMULATOR", "AZURITE_BLOB_STORAGE_URL"))
    return emulated or any(os.environ.get(name, "").startswith("http://") for name in names)
