"""Every transform on one real sample: picture with box, mask and points, second frame, flow, and the frame read along the flow.

    python examples/gallery.py --out gallery            # one page a family: gallery/geometry.png, ...
    python examples/gallery.py --only RandomAffine      # only transforms whose name has this in it

The last picture of each block is the second frame warped by the moved flow: it must look like the first one, whatever the
transform did. The sample is a pair of photographs with known motion (`moving_photos`), drawn for with one key.
"""

import argparse
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import torch

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.tensors import Image, KeyPoints, Label, TypedTensor

# What each family does to the sample. A transform that needs something else of it (labels, a clip) is named in OTHERS.
FAMILIES = {
    "geometry": [
        T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1), T.RandomTranspose(1), T.RandomRotate90(1), T.RandomDihedral(), T.Resize((120, 200)), T.Resize(90),
        T.CenterCrop((150, 200)), T.RandomCrop((180, 200)), T.RandomCrop((280, 340), padding=20, padding_mode="reflect", pad_if_needed=True), T.Pad(24, fill=127),
        T.RandomResizedCrop((160, 200)), T.RandomRotation(30, interpolation="bilinear"), T.RandomRotation(30, expand=True, interpolation="bilinear"),
        T.RandomAffine(20, (0.1, 0.1), (0.7, 1.2), 15, interpolation="bilinear"), T.RandomPerspective(0.5, 1.0), T.ElasticTransform(120.0, 8.0), T.GridDistortion(p=1.0),
    ],
    "sizes": [
        T.RandomResize(120, 300), T.RandomShortestSize([120, 160], max_size=260), T.ScaleJitter((200, 240)), T.RandomZoomOut(fill=90, p=1.0), T.FixedSizeCrop((200, 200), fill=90),
        T.Letterbox((200, 320)), T.ResizeLongest(200), T.PadToMultiple(96), T.FiveCrop(120), T.TenCrop(120), T.RandomIoUCrop(), T.ClampBoundingBoxes(), T.ClampKeyPoints(),
        T.SanitizeBoundingBoxes(), T.SanitizeKeyPoints(), T.SetClampingMode("hard"), T.ConvertBoundingBoxFormat("CXCYWH"),
    ],
    "colour": [
        T.ColorJitter(0.5, 0.5, 0.5, 0.2), T.Grayscale(3), T.RandomGrayscale(1), T.RGB(), T.RandomPhotometricDistort(p=1.0), T.RandomChannelPermutation(), T.RandomInvert(1),
        T.RandomPosterize(2, p=1), T.RandomSolarize(128, p=1), T.RandomAutocontrast(1), T.RandomEqualize(1), T.RandomAdjustSharpness(6, p=1), T.GaussianBlur(15, (4.0, 6.0)),
        T.MotionBlur((15, 21), p=1.0), T.Compose([T.ToDtype(torch.float32, scale=True), T.GaussianNoise(0.0, 0.15)]), T.JPEG(5), T.RandomErasing(1.0), T.CoarseDropout(p=1.0),
        T.Compose([T.ToDtype(torch.float32, scale=True), T.Normalize((0.5,), (0.25,))]), T.ToDtype(torch.float32, scale=True),
    ],
    "policies": [
        T.AutoAugment(), T.AutoAugment(T.AutoAugmentPolicy.CIFAR10), T.AutoAugment(T.AutoAugmentPolicy.SVHN), T.RandAugment(3, 15), T.TrivialAugmentWide(), T.AugMix(5),
        T.RandomApply([T.RandomAffine(20)], 1.0), T.RandomChoice([T.RandomInvert(1), T.RandomVerticalFlip(1)]), T.RandomOrder([T.Pad(20), T.Resize(128)]),
        T.Compose([T.RandomRotation(20, interpolation="bilinear"), T.Resize(128), T.RandomHorizontalFlip(1)], fuse=True), T.Identity(),
    ],
    "flow": [
        T.RAFTAugment((160, 224), -0.2, 0.6), T.RandomResizeAndCrop((160, 224)), T.RAFTAugment.preset("kitti", crop_size=(160, 224)), T.AsymmetricColorJitter(0.5, 0.5, 0.5, 0.2, p=1.0), T.RandomFlowErasing(1.0),
        T.RandomRelativeMotion(10, (0.05, 0.05), (0.9, 1.1)), T.MarkOcclusion(),
    ],
    "several": [T.SimpleCopyPaste(), T.Mosaic(200), T.MixUp(num_classes=4), T.CutMix(num_classes=4)],
}  # fmt: skip
# Need a clip, labels, normalised squares, the backward flow, or change types alone; shown by their own tests.
OTHERS = (
    "Lambda", "LinearTransformation", "UniformTemporalSubsample", "RandomSwapFrames", "RandomStereoFlip", "ToImage", "ToPureTensor", "ToPILImage", "PILToTensor", "ToTensor",
    "ConvertImageDtype", "ToChannelsFirst",
)  # fmt: skip

Sample = dict[str, object]


def sample(index: int = 3) -> Sample:
    """A pair of photographs with flow, occlusion, a box, its mask, and its corners as key points."""
    found = vdata.load("moving_photos")[index]
    x1, y1, x2, y2 = found["boxes"].plain().unbind(-1)
    corners = torch.stack([torch.stack(p, -1) for p in ((x1, y1), (x2, y1), (x2, y2), (x1, y2), ((x1 + x2) / 2, (y1 + y2) / 2))], 1)
    points = KeyPoints(corners, canvas_size=found["image1"].canvas, frame="image1")
    return {**found, "keypoints": points, "labels": Label(torch.ones(len(corners), dtype=torch.int64))}


def moved(transform: T.Transform, key: T.Key) -> Sample:
    """The sample under a transform; what mixes samples gets others, without what they cannot mix."""
    if isinstance(transform, T.Mixing):
        others = [{**sample(i), "label": Label(i % 4)} for i in (3, 7, 8, 11)]
        names = {"MixUp": ("image1", "boxes", "labels"), "CutMix": ("image1", "label"), "SimpleCopyPaste": ("image1", "boxes", "labels", "masks")}
        chosen = names.get(type(transform).__name__, tuple(others[0]))
        first, *rest = [{n: v for n, v in s.items() if n in chosen} for s in others]
        return transform.mix(T.row(transform.draw(key, T.Info.of([first])), 0), first, rest[: transform.partners])
    out = transform(sample(), key=key)
    return out[0] if isinstance(out, tuple) else out


def block(transform: T.Transform, key: T.Key, height: int) -> PIL.Image.Image:
    """A caption and the sample's pictures in a row."""
    shown = {n: shifted(v) for n, v in moved(transform, key).items() if isinstance(v, TypedTensor) and n != "occlusion"}
    keep = [p for n, p in viz.render(shown, height=height, max_magnitude=24.0) if not n.startswith("difference")][:4]
    pictures = [PIL.Image.fromarray(p.plain().permute(1, 2, 0).numpy()) for p in keep]
    page = PIL.Image.new("RGB", (max(sum(p.width + 6 for p in pictures), 640), height + 22), "white")
    text = repr(transform)
    PIL.ImageDraw.Draw(page).text((2, 3), text if len(text) < 105 else text[:102] + "...", fill="black")
    left = 0
    for picture in pictures:
        page.paste(picture, (left, 20))
        left += picture.width + 6
    return page


def shifted(leaf: TypedTensor) -> TypedTensor:
    """Normalised pictures brought back to 0..1, to be seen."""
    if isinstance(leaf, Image) and leaf.is_floating_point() and (leaf.min() < 0 or leaf.max() > 1):
        plain = leaf.plain()
        return leaf.like((plain - plain.min()) / (plain.max() - plain.min()))
    return leaf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gallery"), help="folder for the pages")
    parser.add_argument("--only", default="", help="only transforms with this in their name")
    parser.add_argument("--height", type=int, default=128, help="of each picture")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for family, transforms in FAMILIES.items():
        chosen = [t for t in transforms if options.only.lower() in type(t).__name__.lower()]
        if not chosen:
            continue
        blocks = [block(t, T.Key.of(options.seed, i), options.height) for i, t in enumerate(chosen)]
        page = PIL.Image.new("RGB", (max(b.width for b in blocks), sum(b.height + 8 for b in blocks)), "white")
        top = 0
        for picture in blocks:
            page.paste(picture, (0, top))
            top += picture.height + 8
        page.save(options.out / f"{family}.png")
        print(f"{options.out / family}.png: {len(blocks)} transforms")


if __name__ == "__main__":
    main()
