"""Country211: photographs from 211 countries, chosen by their GPS positions; the test of geolocation of the CLIP paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdata.card import Archive, Card
from vdata.datasets._class_folders import class_folders
from vdata.encoded import read_encoded
from vdata.field import Field
from vdata.files import Files
from vdata.source import Sample
from vdata.tensors import Label
from vdata.testing import jpeg, photo, tar_file

# ISO 3166-1 alpha-2 codes, and XK for Kosovo, in the order of the folders.
CLASSES = (
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AT", "AU", "AW", "AX", "AZ", "BA", "BB", "BD", "BE",
    "BF", "BG", "BH", "BJ", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BW", "BY", "BZ", "CA", "CD", "CF", "CH", "CI",
    "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CY", "CZ", "DE", "DK", "DM", "DO", "DZ", "EC", "EE", "EG",
    "ES", "ET", "FI", "FJ", "FK", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GP", "GR",
    "GS", "GT", "GU", "GY", "HK", "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IQ", "IR", "IS", "IT", "JE",
    "JM", "JO", "JP", "KE", "KG", "KH", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LT",
    "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MK", "ML", "MM", "MN", "MO", "MQ", "MR", "MT", "MU", "MV",
    "MW", "MX", "MY", "MZ", "NA", "NC", "NG", "NI", "NL", "NO", "NP", "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK",
    "PL", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS", "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH",
    "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SS", "SV", "SX", "SY", "SZ", "TG", "TH", "TJ", "TL", "TM", "TN", "TO",
    "TR", "TT", "TW", "TZ", "UA", "UG", "US", "UY", "UZ", "VA", "VE", "VG", "VI", "VN", "VU", "WS", "XK", "YE", "ZA",
    "ZM", "ZW",
)  # fmt: skip

_FOLDERS = {"train": "train", "val": "valid", "test": "test"}
_FIELDS = {
    "image": Field("Image", "uint8", (3, "H", "W")),
    "label": Field("Label", "int64", (), meta={"categories": CLASSES}, doc="the country's code"),
}

card = Card(
    name="country211",
    title="Country211",
    task="classification",
    home="https://github.com/openai/CLIP/blob/main/data/country211.md",
    licence="a part of YFCC100M: each photograph under the Creative Commons licence that its owner chose",
    citation="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021; "
    "Thomee et al., YFCC100M: The New Data in Multimedia Research, CACM 2016",
    splits={"train": 31_650, "val": 10_550, "test": 21_100},
    fields=_FIELDS,
    archives=(
        Archive(
            "country211.tgz",
            "https://openaipublic.azureedge.net/clip/data/country211.tgz",
            md5="84988d7644798601126c29e9877aab6a",
            sha256="c011343cdc1296a8c31ff1d7129cf0b5e5b8605462cffd24f89266d6e6f4da3c",
            tree={"train": "country211/train", "val": "country211/valid", "test": "country211/test"},
        ),
    ),
    notes=(
        'the split "val" is the folder "valid", and what torchvision calls "valid"',
        "the archive has about 11 GB; the GPS positions are not part of it",
    ),
)


def samples(files: Files, split: str) -> Iterator[dict[str, Any]]:
    """`__key__` is "train/AD/1"; the class is the folder."""
    return class_folders(files, f"country211/{_FOLDERS[split]}", CLASSES, ".jpg")


def sample(files: Files, record: Mapping[str, Any]) -> Sample:
    return {
        "image": read_encoded(files, record, "image", _FIELDS["image"]),
        "label": Label(record["label"], categories=CLASSES),
    }


def fake(root: Path) -> None:
    """`country211.tgz` with pictures of three countries: three of each to train with, four to validate, two to test."""
    numbers = {"train": (1, 2, 10), "valid": (3, 4, 5, 20), "test": (6, 7)}
    names = [f"country211/{s}/{c}/{n}.jpg" for s in numbers for c in ("AD", "BS", "GR") for n in numbers[s]]
    tar_file(
        root / "country211.tgz",
        {name: jpeg(photo(20 + seed % 5, 30 - seed % 7, seed)) for seed, name in enumerate(names)},
    )
