"""Codecs: bytes of one field to a typed tensor or a plain value, and back.

    header.py   what a file is, and its size, from the first bytes       image.py   pictures: who decodes them, and Pillow
    ppm.py      PPM and PGM, read in place                               png.py     ordinary PNGs, checksums
    flow.py     .flo, PFM, KITTI's PNGs                                  png16.py   PNGs of 16 bits by Pillow, and written
    npy.py      npy and npz without pickle                               baseline.py, turbo.py, rows.py   windows of JPEGs
    plain.py    text, numbers, JSON; boxes, points and labels as JSON          coco.py   COCO's polygons, run lengths, segment ids

`decode` takes the type from the `Encoded` where it has one, else from the suffix; what the bytes are, they say
themselves. `encode` and `field_of` are its inverse: `decode` of what they give is the identical value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.codecs import coco, flow, header, image, npy, plain
from vdata.codecs.header import MAX_PIXELS, Window, kind
from vdata.codecs.image import names
from vdata.encoded import Encoded
from vdata.errors import DataError, DecodeError, UnsafeFormatError
from vdata.field import Field
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video

__all__ = ["MAX_PIXELS", "Window", "decode", "decode_all", "decode_reduced", "encode", "field_of", "kind", "names", "size", "type_of"]

_PICTURES = {"jpeg", "png", "webp", "ppm", "gif", "bmp", "tiff"}
_UNSAFE = {"pyd", "pkl", "pickle", "pth", "pt"}
# webdataset's names, less those that run code, and the pictures and flows of datasets.
_TYPE_OF_SUFFIX = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "ppm", "pgm", "pnm", "gif", "bmp", "tif", "tiff"), "Image"),
    **dict.fromkeys(("cls", "cls2", "class", "count", "index", "inx", "id"), "int"),
    **dict.fromkeys(("txt", "text", "transcript"), "str"),
    **dict.fromkeys(("json", "jsn"), "json"),
    "flo": "Flow", "npy": "tensor", "npz": "tensors",
}  # fmt: skip
_TYPE_OF_KIND = {**dict.fromkeys(_PICTURES, "Image"), "flo": "Flow", "npy": "tensor"}
_FLOW_CODECS = {
    "kitti_flow": flow.kitti_flow, "kitti_disparity": flow.kitti_disparity, "pfm_disparity": flow.pfm_disparity,
}  # fmt: skip
_MASK_CODECS = {"coco": coco.masks, "coco_panoptic": coco.segment_ids}


def decode(enc: Encoded, *, window: Window | None = None, mode: str = "RGB") -> Any:
    """The typed tensor or plain value that `enc` holds.

    window   (top, left, height, width) in the frame of the delivered picture: exactly `full[..., top:top+height,
             left:left+width]`, bit for bit, at the cost of little more than the window where the format allows.
             ValueError where it leaves the picture or the value has none
    mode     for pictures: "RGB" (uint8 [3, H, W], alpha dropped) or "unchanged" (grey stays [1, H, W], RGBA
             [4, H, W], 16 bits uint16). The codec "unchanged", which packed pictures carry, has precedence

    Raises DecodeError (with the byte, and `enc.where`) for broken bytes, UnsafeFormatError for pickles.

    >>> decode(Encoded(b"P5 2 1 255 \\x07\\x09", suffix="pgm"), mode="unchanged")
    Image(uint8 [1, 1, 2], [[[7, 9]]])
    """
    try:
        return _decode(enc, window, mode)
    except DataError as err:
        err.at(**enc.where)
        raise


def decode_all(asked: Sequence[tuple[Encoded, Window | None]], *, mode: str = "RGB") -> list[Any]:
    """`decode` of several, each with its window, for who reads their pixels at once: a picture's may lie in memory as the
    decoder left them, planes or [3, H, W] as a view of [H, W, 3]."""
    pixels: list[Tensor] = []
    try:
        quick = [i for i, (enc, _) in enumerate(asked) if mode == "RGB" and _is_jpeg(enc)]
        jpegs = [(enc.data, header.of(enc, enc.data), window, enc.orient) for enc, window in (asked[i] for i in quick)]
        pixels = image.decode_windows([image.Jpeg(*jpeg) for jpeg in jpegs])
    except DataError:
        quick = []  # done again one by one, which says which it is
    out = {i: _typed(Image, p, asked[i][0].meta) for i, p in zip(quick, pixels, strict=True)} if quick else {}
    return [out[i] if i in out else decode(enc, window=window, mode=mode) for i, (enc, window) in enumerate(asked)]


def decode_reduced(enc: Encoded, window: Window, size: tuple[int, int], interpolation: str) -> Any:
    """A JPEG's window resized to `size` (height, width) from fewer of its pixels; None where it would not have twice as many."""
    if not _is_jpeg(enc) or interpolation not in ("bilinear", "bicubic", "lanczos"):
        return None
    by = next((by for by in (8, 4, 2) if window[2] >= by * size[0] and window[3] >= by * size[1]), 1)
    if by == 1:
        return None
    try:
        jpeg = image.Jpeg(enc.data, header.of(enc, enc.data), window, enc.orient)
        return _typed(Image, image.decode_reduced(jpeg, size, interpolation, by), enc.meta)
    except DataError as err:
        err.at(**enc.where)
        raise


def _is_jpeg(enc: Encoded) -> bool:
    return not enc.codec and (enc.type or type_of(enc)) == "Image" and kind(enc.data) == "jpeg"


def size(enc: Encoded) -> tuple[int, int]:
    """(height, width) of the picture, flow or array as delivered, from its header alone; nothing is decoded.

    >>> size(Encoded(b"P5 2 1 255 \\x07\\x09"))
    (1, 2)
    """
    try:
        if enc.codec == "coco":
            return coco.size(enc.data)
        form = kind(enc.data)
        if form == "flo":
            return flow.flo_size(enc.data)
        if form == "pfm":
            pfm = flow.pfm_head(enc.data)
            return pfm.height, pfm.width
        if form == "npy":
            shape = npy.head(enc.data).shape
            if len(shape) < 2:
                raise DecodeError(f"an array of shape {shape} has no height and width", byte=0)
            return shape[-2], shape[-1]
        head = None if form == "ppm" else header.of(enc, enc.data)
        return image.size(enc.data, orient=enc.orient and enc.codec not in _FLOW_CODECS, head=head)
    except DataError as err:
        err.at(**enc.where)
        raise


def encode(value: Any, codec: str = "") -> tuple[str, bytes]:
    """(suffix, bytes): without loss, equal values give equal bytes. An `Encoded` passes as it is.

    Pictures and masks become PNG where PNG holds them, else npy; a Flow .flo (or, with codec "kitti_flow", rounded to
    1/64 pixel, KITTI's PNG); boxes, points, labels and plain values JSON; a single label digits. TypeError names
    what cannot be written.

    >>> encode("a cat")
    ('txt', b'a cat')
    """
    if isinstance(value, Encoded):
        return value.suffix, bytes(value.data)
    if codec == "kitti_flow" and isinstance(value, Flow):
        return "png", flow.encode_kitti_flow(_cpu(value))
    if codec not in ("", "unchanged"):
        raise ValueError(f"no codec {codec!r} to write a {type(value).__name__} with")
    suffix = _suffix_of(value)
    return suffix, _WRITERS[suffix](value)


def field_of(value: Any, suffix: str) -> Field:
    """The declaration with which `decode` brings back the identical value from the bytes that `encode` gave.

    >>> field_of(Mask(torch.zeros(2, 2, dtype=torch.bool)), "png").meta
    {'kind': 'semantic', 'dtype': 'bool'}
    """
    if isinstance(value, Encoded):
        return Field(type=value.type, codec=value.codec, meta=dict(value.meta), suffix=suffix)
    if isinstance(value, (Tensor, np.ndarray)):
        name = type(value).__name__ if isinstance(value, TypedTensor) else "tensor"
        dtype = plain.dtype_name(value.dtype)
        meta = _meta_of(value, dtype, suffix)
        return Field(type=name, dtype=dtype, codec=_codec_of(value, suffix), meta=meta, suffix=suffix)
    name = type(value).__name__
    return Field(type=name if type(value) in (int, float, str, bytes) else "json", suffix=suffix)


def _decode(enc: Encoded, window: Window | None, mode: str) -> Any:
    name = enc.type or type_of(enc)
    if name in _PIXELS:
        return _PIXELS[name](enc, window, mode)
    if name not in _VALUES:
        raise DecodeError(f"no codec gives a {name!r}")
    if window is not None:
        raise ValueError(f"a {name} has no window")
    return _VALUES[name](enc)


def type_of(enc: Encoded) -> str:
    """The type of a file that does not say it: by the last part of its suffix; by its first bytes where it has none."""
    last = enc.suffix.rpartition(".")[2].lower()
    if last in _UNSAFE:
        raise UnsafeFormatError(
            f"a .{last} is a pickle, which can run code", do="write it again as npy, json or safetensors"
        )
    if last == "gz":
        raise DecodeError("a .gz inside a shard is not unpacked", do="decompress the file when packing")
    if last == "pfm" or (not last and kind(enc.data) == "pfm"):
        return "Flow" if flow.pfm_head(enc.data).channels == 3 else "tensor"
    return _TYPE_OF_SUFFIX.get(last, "bytes") if last else _TYPE_OF_KIND.get(kind(enc.data), "bytes")


def _image(enc: Encoded, window: Window | None, mode: str) -> Image:
    _known(enc, "unchanged")
    if kind(enc.data) == "npy":
        return _typed(Image, npy.tensor(enc.data, window), enc.meta)
    mode = "unchanged" if enc.codec == "unchanged" else mode
    return _typed(Image, image.decode(enc.data, window=window, mode=mode, orient=enc.orient), enc.meta)


def _mask(enc: Encoded, window: Window | None, mode: str) -> Mask:
    _known(enc, *_MASK_CODECS)
    if enc.codec:
        return _typed(Mask, _MASK_CODECS[enc.codec](enc.data, window), enc.meta)
    form = kind(enc.data)
    if form in ("npy", "pfm"):
        return _typed(Mask, (npy.tensor if form == "npy" else flow.pfm_ids)(enc.data, window), enc.meta)
    return _typed(Mask, image.decode_mask(enc.data, window=window, orient=enc.orient), enc.meta)


def _video(enc: Encoded, window: Window | None, mode: str) -> Video:
    _known(enc)
    return _typed(Video, npy.tensor(enc.data, window), enc.meta)


def _flow(enc: Encoded, window: Window | None, mode: str) -> Flow:
    _known(enc, *_FLOW_CODECS)
    form = kind(enc.data)
    meta = dict(enc.meta)
    if window is not None:  # its vectors still point into the whole second frame
        meta.setdefault("target_size", size(enc))
    if enc.codec:
        return _typed(Flow, _FLOW_CODECS[enc.codec](enc.data, window), {"sparse": enc.codec != "pfm_disparity", **meta})
    if form not in ("flo", "pfm", "npy"):
        raise DecodeError(f"a file of kind {form or 'unknown'!r} is no flow by itself", byte=0,
                          do='a KITTI PNG needs codec="kitti_flow"')  # fmt: skip
    reader = {"flo": flow.flo, "pfm": flow.pfm, "npy": npy.tensor}[form]
    return _typed(Flow, reader(enc.data, window), meta)


def _tensor(enc: Encoded, window: Window | None, mode: str) -> Tensor:
    form = kind(enc.data)
    if form in _PICTURES:
        return image.decode(enc.data, window=window, mode="unchanged", orient=enc.orient)
    data = flow.pfm_tensor(enc.data, window) if form == "pfm" else npy.tensor(enc.data, window)
    return data.to(plain.dtype(enc.meta["dtype"])) if "dtype" in enc.meta else data


def _known(enc: Encoded, *codecs: str) -> None:
    if enc.codec and enc.codec not in codecs:
        raise DecodeError(f"a {enc.type or 'file'} has no codec {enc.codec!r}")


def _typed(cls: type[Any], data: Tensor, meta: Any) -> Any:
    """`data` as the type with its metadata; a "dtype" in it restores one that the file cannot hold."""
    if cls is Image and not meta and data.ndim == 3:
        return Image.make(data, {})
    meta = dict(meta)
    dtype = plain.dtype(meta.pop("dtype")) if "dtype" in meta else data.dtype
    try:
        return cls(data.to(dtype), **meta, dtype=dtype)
    except (TypeError, ValueError) as err:
        raise DecodeError(f"the array {list(data.shape)} {data.dtype} is no {cls.__name__}: {err}") from err


_PIXELS: dict[str, Callable[[Encoded, Window | None, str], Tensor]] = {
    "Image": _image, "Mask": _mask, "Video": _video, "Flow": _flow, "tensor": _tensor,
}  # fmt: skip
_VALUES: dict[str, Callable[[Encoded], Any]] = {
    "BoundingBoxes": lambda enc: plain.boxes(enc.data, dict(enc.meta)),
    "KeyPoints": lambda enc: plain.keypoints(enc.data, dict(enc.meta)),
    "Label": lambda enc: plain.labels(enc.data, dict(enc.meta)),
    "tensors": lambda enc: npy.tensors(enc.data),
    "int": lambda enc: plain.integer(enc.data),
    "float": lambda enc: plain.floating(enc.data),
    "str": lambda enc: plain.text(enc.data),
    "json": lambda enc: plain.parse(enc.data),
    "bytes": lambda enc: bytes(enc.data),
}


def _cpu(value: Tensor) -> Tensor:
    return (value.plain() if isinstance(value, TypedTensor) else value).detach().cpu()


def _suffix_of(value: Any) -> str:
    """How `encode` writes a value: by its type, dtype and number of dimensions, never by its numbers."""
    if isinstance(value, Image):
        return "png" if image.fits_png(_cpu(value)) else "npy"
    if isinstance(value, Mask):
        return "png" if value.ndim == 2 and image.fits_png(_mask_samples(value)) else "npy"
    if isinstance(value, Flow):
        return "flo" if value.ndim == 3 and value.dtype == torch.float32 and value.numel() else "npy"
    if isinstance(value, Label):
        return "json" if value.ndim else "cls"
    if isinstance(value, (BoundingBoxes, KeyPoints)):
        return "json"
    if isinstance(value, (Tensor, np.ndarray)):
        return "npy"
    if value is None or type(value) in (int, float, bool, dict, list):
        return "json"
    if type(value) in (str, bytes):
        return {str: "txt", bytes: "bin"}[type(value)]
    raise TypeError(f"a {type(value).__name__} cannot be written: use a typed tensor, an array, or what JSON holds")


def _png(value: Image | Mask) -> bytes:
    return image.encode(_mask_samples(value) if isinstance(value, Mask) else _cpu(value))


def _mask_samples(value: Mask) -> Tensor:
    samples = _cpu(value)[None]
    return samples.to(torch.uint8) if samples.dtype == torch.bool else samples


def _npy(value: Tensor | np.ndarray) -> bytes:
    if isinstance(value, np.ndarray):
        if value.dtype.name not in plain.DTYPES:
            raise TypeError(f"an array of {value.dtype} cannot be written: it would not come back as a tensor")
        return npy.write(value)
    tensor = _cpu(value)
    return npy.write((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _json(value: Any) -> bytes:
    if isinstance(value, BoundingBoxes):
        return plain.encode_boxes(value)
    if isinstance(value, KeyPoints):
        return plain.encode_keypoints(value)
    return plain.encode_labels(value) if isinstance(value, Label) else plain.dump(value)


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "png": _png, "npy": _npy, "json": _json, "flo": lambda value: flow.encode_flo(_cpu(value)),
    "cls": lambda value: str(int(value)).encode(), "txt": str.encode, "bin": bytes,
}  # fmt: skip


def _codec_of(value: Any, suffix: str) -> str:
    if suffix == "png" and isinstance(value, Flow):
        return "kitti_flow"
    return "unchanged" if isinstance(value, Image) else ""


def _meta_of(value: Any, dtype: str, suffix: str) -> dict[str, Any]:
    """What all values of the field share and their bytes do not hold."""
    in_bytes = ("format", "canvas_size", "visibility")
    meta = value.meta() if isinstance(value, TypedTensor) else {}
    clamping = meta.pop("clamping_mode", "soft")
    meta = {name: part for name, part in meta.items() if part is not None and name not in in_bytes}
    if clamping != "soft":
        meta["clamping_mode"] = clamping  # None too: it is not the default
    if isinstance(value, Flow) and value.target_size == value.canvas:
        del meta["target_size"]
    if (suffix == "cls" and dtype != "int64") or (suffix, dtype) in (("npy", "bfloat16"), ("png", "bool")):
        meta["dtype"] = dtype
    return meta
