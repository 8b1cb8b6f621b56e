"""Layers of photographs in motion, painted at two moments: what `moving_photos` is made of. Not a dataset.

A scene is a list of layers from the farthest to the nearest. A layer takes points of frame 1 to where they are in
frame 2 (`forward`) and back, says how deep a point lies inside it, and which piece of a photograph it shows. All of it
is a function of continuous coordinates: pixel (i, j) has its centre at (j + 1/2, i + 1/2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdata.key import Key

Array = np.ndarray
Points = tuple[Array, Array]  # x and y
Size = tuple[int, int]  # height and width


def grid(size: Size, rows: slice = slice(None), columns: slice = slice(None)) -> Points:
    """Centres of the pixels, [h, w] each."""
    y, x = np.mgrid[: size[0], : size[1]][:, rows, columns] + 0.5
    return x, y


# -- photographs -------------------------------------------------------------------------------------------------------


def sampled(photo: Array, x: Array, y: Array) -> Array:
    """The photograph at continuous coordinates, bilinear, mirrored beyond its borders: float32 [..., 3]."""
    height, width = photo.shape[:2]
    left, right, across = _between(x, width)
    above, below, down = _between(y, height)
    flat = photo.reshape(-1, 3)
    corner = lambda row, column: flat[row * width + column].astype(np.float32)
    upper = corner(above, left) * (1 - across) + corner(above, right) * across
    lower = corner(below, left) * (1 - across) + corner(below, right) * across
    return upper * (1 - down) + lower * down


def _between(t: Array, length: int) -> tuple[Array, Array, Array]:
    """The texels before and after a coordinate, and how far it is from the one to the other, float32 [..., 1]."""
    inside = length - np.abs(np.mod(t, 2 * length) - length) - 0.5
    first = np.floor(inside).astype(np.int64)
    share = (inside - first).astype(np.float32)[..., None]
    return np.maximum(first, 0), np.minimum(first + 1, length - 1), share


def _lively(photo: Array, places: Array, radius: float) -> Array:
    """Of some places (x, y) the one with the most contrast around it: motion cannot be seen in a blue sky."""
    contrast = []
    for x, y in places:
        rows, columns = (slice(max(0, round(t - radius)), round(t + radius) + 1, 4) for t in (y, x))
        contrast.append(float(photo[rows, columns].std((0, 1)).sum()))
    return places[int(np.argmax(contrast))]


# -- motion ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Affine:
    """(x, y) -> (xx x + xy y + x0, yx x + yy y + y0)."""

    xx: float
    xy: float
    yx: float
    yy: float
    x0: float = 0.0
    y0: float = 0.0

    def __call__(self, x: Array, y: Array) -> Points:
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0

    def inverse(self) -> Affine:
        d = self.xx * self.yy - self.xy * self.yx
        xx, xy, yx, yy = self.yy / d, -self.xy / d, -self.yx / d, self.xx / d
        return Affine(xx, xy, yx, yy, -(xx * self.x0 + xy * self.y0), -(yx * self.x0 + yy * self.y0))

    def from_to(self, centre: tuple[float, float], target: tuple[float, float]) -> Affine:
        """The same linear part, with `centre` going to `target`."""
        x, y = centre
        return Affine(
            self.xx,
            self.xy,
            self.yx,
            self.yy,
            target[0] - self.xx * x - self.xy * y,
            target[1] - self.yx * x - self.yy * y,
        )

    @classmethod
    def turned(cls, angle: float, scale: float = 1.0) -> Affine:
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        return cls(c, -s, s, c)

    @classmethod
    def near_identity(cls, key: Key, most: float) -> Affine:
        """The identity and a linear map that moves no point further than `most` times its distance from the origin."""
        turn, grow = most * 0.6 * _disc(key.fold("similarity"))
        shear, stretch = most * 0.4 * _disc(key.fold("shear"))
        return cls(1 + grow + stretch, shear - turn, shear + turn, 1 + grow - stretch)


def _disc(key: Key, inner: float = 0.0) -> Array:
    """A point of the unit disc, its distance from the centre uniform between `inner` and 1."""
    distance, angle = key.uniform(0, 1, 2)[0]
    return (inner + (1 - inner) * distance) * np.array([math.cos(2 * math.pi * angle), math.sin(2 * math.pi * angle)])


@dataclass(frozen=True)
class Waves:
    """A smooth displacement: three plane waves, each longer than the frame's shorter side."""

    vectors: Array  # [3, 2], radians a pixel
    phases: Array  # [3]
    heights: Array  # [3, 2], pixels

    def __call__(self, x: Array, y: Array) -> Points:
        dx, dy = np.zeros_like(x), np.zeros_like(y)
        for (kx, ky), phase, (across, down) in zip(self.vectors, self.phases, self.heights):
            wave = np.sin(kx * x + ky * y + phase)
            dx += across * wave
            dy += down * wave
        return dx, dy

    @classmethod
    def drawn(cls, key: Key, size: Size, most: float) -> Waves:
        vectors = np.array([_disc(key.fold("vector", n), 0.3) for n in range(3)]) * 2 * math.pi / max(size)
        heights = np.array([_disc(key.fold("height", n), 0.3) for n in range(3)]) * most / 3
        return cls(vectors, key.fold("phase").uniform(0, 2 * math.pi, 3)[0], heights)


# -- layers ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Background:
    """A photograph that fills the frame. `place` takes coordinates of frame 1 to those of the photograph."""

    photo: Array
    place: Affine
    affine: Affine
    waves: Waves

    @classmethod
    def drawn(cls, key: Key, photo: Array, size: Size, motion: float) -> Background:
        """Of the motion allowed, half is for the shift, three tenths for the linear part, the rest for the waves."""
        height, width = size
        centre = (width / 2, height / 2)
        u, v = key.fold("corner").uniform(0, 1, 2)[0]
        corner = (u * (photo.shape[1] - width), v * (photo.shape[0] - height))
        mirrored = key.fold("mirror").bernoulli(0.5)[0]
        place = Affine(-1, 0, 0, 1, corner[0] + width, corner[1]) if mirrored else Affine(1, 0, 0, 1, *corner)
        shift = 0.5 * motion * _disc(key.fold("shift"))
        linear = Affine.near_identity(key.fold("linear"), 0.3 * motion / math.hypot(*centre))
        affine = linear.from_to(centre, (centre[0] + shift[0], centre[1] + shift[1]))
        return cls(photo, place, affine, Waves.drawn(key.fold("waves"), size, 0.2 * motion))

    def forward(self, x: Array, y: Array) -> Points:
        """Where points of frame 1 are in frame 2."""
        (x2, y2), (dx, dy) = self.affine(x, y), self.waves(x, y)
        return x2 + dx, y2 + dy

    def backward(self, x: Array, y: Array) -> Points:
        """The inverse of `forward`, to a ten-thousandth of a pixel.

        A fixed point: the waves are at most a fifth of the motion high, which is at most a quarter of the frame, so
        each step divides the error by three or more.
        """
        undo = self.affine.inverse()
        x1, y1 = undo(x, y)
        step = math.inf
        while step > 1e-4:
            dx, dy = self.waves(x1, y1)
            nx, ny = undo(x - dx, y - dy)
            step = max(np.abs(nx - x1).max(initial=0), np.abs(ny - y1).max(initial=0))
            x1, y1 = nx, ny
        return x1, y1

    def depth(self, x: Array, y: Array) -> Array:
        return np.full(x.shape, np.inf)

    def region(self, size: Size) -> tuple[slice, slice]:
        return slice(0, size[0]), slice(0, size[1])


@dataclass(frozen=True)
class Cutout:
    """A piece of a photograph: star-shaped, r(theta) = radius (1 + sum of a_m cos(m theta + phi_m)), m = 2..5.

    `frame` takes coordinates of frame 1 to the outline's own, in which it is as given; `reach` is the greatest
    distance in pixels from `centre` that the outline, or anything it moves, comes to.
    """

    photo: Array
    place: Affine
    affine: Affine
    frame: Affine
    centre: tuple[float, float]
    radius: float
    reach: float
    waves: Array  # complex [4]: a_m exp(i phi_m)

    @classmethod
    def drawn(cls, key: Key, photo: Array, size: Size, motion: float) -> Cutout:
        """Seven tenths of the motion allowed are for the shift, the rest for the linear part."""
        height, width = size
        u, v = key.fold("centre").uniform(0.08, 0.92, 2)[0]
        centre = (u * width, v * height)
        radius = float(key.fold("radius").uniform(0.11, 0.24)[0]) * min(size)
        aspect = float(key.fold("aspect").uniform(0.7, 1.0)[0])
        turn, tilt = key.fold("turn").uniform(-1, 1, 2)[0]
        axes = Affine.turned(math.pi * turn)
        frame = Affine(axes.xx / aspect, axes.xy / aspect, axes.yx * aspect, axes.yy * aspect).from_to(centre, (0, 0))
        heights, phases = key.fold("heights").uniform(0, 1, 4)[0], key.fold("phases").uniform(0, 2 * math.pi, 4)[0]
        waves = heights * np.array([0.2, 0.12, 0.07, 0.05]) * np.exp(1j * phases)
        outer = radius / aspect * (1 + float(np.abs(waves).sum()))
        texel = _lively(photo, key.fold("texel").uniform(0.2, 0.8, 4, 2)[0] * photo.shape[1::-1], radius)
        shift = 0.7 * motion * _disc(key.fold("shift"), 0.3)
        linear = Affine.near_identity(key.fold("linear"), min(0.3 * motion / outer, 0.25))
        return cls(
            photo, Affine.turned(0.3 * tilt).from_to(centre, tuple(texel)),
            linear.from_to(centre, (centre[0] + shift[0], centre[1] + shift[1])),
            frame, centre, radius, outer + motion + 2, waves,
        )  # fmt: skip

    def forward(self, x: Array, y: Array) -> Points:
        return self.affine(x, y)

    def backward(self, x: Array, y: Array) -> Points:
        return self.affine.inverse()(x, y)

    def depth(self, x: Array, y: Array) -> Array:
        """How far inside the outline points of frame 1 are, in about pixels; negative outside."""
        qx, qy = self.frame(x, y)
        distance = np.hypot(qx, qy)
        unit = (qx + 1j * qy) / np.maximum(distance, 1e-9)
        outline, power = 1.0, unit
        for wave in self.waves:
            power = power * unit  # exp(i m theta): no arc tangent and no cosine
            outline = outline + wave.real * power.real - wave.imag * power.imag
        return self.radius * outline - distance

    def region(self, size: Size) -> tuple[slice, slice]:
        """Rows and columns outside of which nothing of it is, in either frame."""
        (x, y), r = self.centre, self.reach
        return slice(max(0, math.floor(y - r)), min(size[0], math.ceil(y + r))), slice(
            max(0, math.floor(x - r)), min(size[1], math.ceil(x + r))
        )


Layer = Background | Cutout
Layers = Sequence[Layer]


def painted(layers: Layers, size: Size, *, second: bool) -> tuple[Array, Array]:
    """A frame: the number of the nearest layer at each pixel's centre [H, W], and the picture, float32 [H, W, 3].

    Outlines are painted over one pixel's width, so that edges look as a camera's.
    """
    top, picture = np.zeros(size, np.int64), np.zeros((*size, 3), np.float32)
    for number, layer in enumerate(layers):
        region = layer.region(size)
        x, y = grid(size, *region)
        if second:
            x, y = layer.backward(x, y)
        depth = layer.depth(x, y)
        cover = np.clip(depth + 0.5, 0, 1).astype(np.float32)
        touched = cover > 0
        share = cover[touched][:, None]
        colour = sampled(layer.photo, *layer.place(x[touched], y[touched]))
        picture[region][touched] = picture[region][touched] * (1 - share) + colour * share
        top[region][depth > 0] = number
    return top, picture


def moved(layers: Layers, top: Array) -> Points:
    """Where in frame 2 the content of each pixel of frame 1 is; `top` as `painted` gives it for frame 1."""
    x, y = (part.copy() for part in grid(top.shape))
    for number, layer in enumerate(layers):
        mine = top == number
        x[mine], y[mine] = layer.forward(x[mine], y[mine])
    return x, y


def hidden(layers: Layers, top: Array, places: Points) -> Array:
    """bool [H, W]: what a pixel of frame 1 shows leaves the frame, or a nearer layer covers it in frame 2."""
    (x, y), (height, width) = places, top.shape
    out = (x < 0) | (x > width) | (y < 0) | (y > height)
    for number, layer in enumerate(layers[1:], 1):
        near = top < number
        out[near] |= layer.depth(*layer.backward(x[near], y[near])) > 0
    return out
