# Written by docs/overloads.py from the cards: do not edit.

from os import PathLike
from typing import Any, Literal, overload

from vdata.pipe import DataPipe

_Path = str | PathLike[str]

@overload
def load(
    name_or_url: Literal['cifar10'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """CIFAR-10: classification."""

@overload
def load(
    name_or_url: Literal['cifar100'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """CIFAR-100: classification."""

@overload
def load(
    name_or_url: Literal['clevr'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., questions: Literal[False, True] = ...,
) -> DataPipe:
    """CLEVR (v1.0): classification, key points, visual questions."""

@overload
def load(
    name_or_url: Literal['coco'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., task: Literal['instances', 'keypoints', 'panoptic', 'captions'] = ..., year: Literal[2017, 2014] = ..., masks: Literal[True, False] = ...,
) -> DataPipe:
    """Microsoft COCO: Common Objects in Context: object detection, instance segmentation, panoptic segmentation, key points, captions."""

@overload
def load(
    name_or_url: Literal['country211'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Country211: classification."""

@overload
def load(
    name_or_url: Literal['dtd'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., partition: Literal[1, 2, 3, 4, 5, 6, 7, 8, 9, 10] = ...,
) -> DataPipe:
    """Describable Textures Dataset (r1.0.1): classification."""

@overload
def load(
    name_or_url: Literal['emnist'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., subset: Literal['byclass', 'bymerge', 'balanced', 'letters', 'digits', 'mnist'] = ..., upright: Literal[True, False] = ...,
) -> DataPipe:
    """EMNIST: an extension of MNIST to handwritten letters: classification."""

@overload
def load(
    name_or_url: Literal['eurosat'], split: Literal['all'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """EuroSAT (RGB): classification."""

@overload
def load(
    name_or_url: Literal['fashion_mnist'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Fashion-MNIST: classification."""

@overload
def load(
    name_or_url: Literal['fer2013'], split: Literal['train', 'test', 'public_test', 'private_test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """FER-2013, the facial expressions of ICML 2013: classification."""

@overload
def load(
    name_or_url: Literal['fgvc_aircraft'], split: Literal['train', 'val', 'trainval', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., annotation_level: Literal['variant', 'family', 'manufacturer'] = ..., remove_banner: Literal[False, True] = ...,
) -> DataPipe:
    """FGVC-Aircraft 2013b: fine-grained classification, detection."""

@overload
def load(
    name_or_url: Literal['flowers102'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., segmentation: Literal[False, True] = ...,
) -> DataPipe:
    """Oxford 102 Flowers: classification, segmentation."""

@overload
def load(
    name_or_url: Literal['flying_chairs'], split: Literal['train', 'val'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """FlyingChairs: optical flow."""

@overload
def load(
    name_or_url: Literal['flying_things3d'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., pass_name: Literal['clean', 'final', 'both'] = ..., camera: Literal['left', 'right', 'both'] = ..., direction: Literal['both', 'into_future', 'into_past'] = ..., stereo: Literal[False, True] = ..., disparity_change: Literal[False, True] = ..., objects: Literal[False, True] = ..., cameras: Literal[False, True] = ..., skip_unused: Literal[False, True] = ...,
) -> DataPipe:
    """FlyingThings3D: optical flow, stereo."""

@overload
def load(
    name_or_url: Literal['food101'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Food-101: classification."""

@overload
def load(
    name_or_url: Literal['gtsrb'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., train_set: Literal['online', 'final'] = ...,
) -> DataPipe:
    """German Traffic Sign Recognition Benchmark: classification, detection."""

@overload
def load(
    name_or_url: Literal['hd1k'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., uncertainty: Literal[False, True] = ...,
) -> DataPipe:
    """HCI HD1K: optical flow."""

@overload
def load(
    name_or_url: Literal['imagenet'], split: Literal['train', 'val'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """ImageNet (ILSVRC 2012): classification, localization."""

@overload
def load(
    name_or_url: Literal['kitti_flow'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., version: Literal['2015', '2012', '2012-grey'] = ..., flow: Literal['occ', 'noc'] = ..., occlusion: Literal[False, True] = ..., stereo: Literal[False, True] = ..., scene_flow: Literal[False, True] = ..., calibration: Literal[False, True] = ...,
) -> DataPipe:
    """KITTI 2015 and 2012 flow: optical flow, stereo."""

@overload
def load(
    name_or_url: Literal['kmnist'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Kuzushiji-MNIST: classification."""

@overload
def load(
    name_or_url: Literal['mnist'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """MNIST handwritten digits: classification."""

@overload
def load(
    name_or_url: Literal['motorcycle'], split: Literal['all'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Middlebury 2014 stereo: the motorcycle: optical flow, stereo."""

@overload
def load(
    name_or_url: Literal['moving_photos'], split: Literal['train', 'val'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., length: int = ..., size: Any = ..., seed: int = ..., photos: Any = ..., max_motion: Any = ..., objects: Any = ...,
) -> DataPipe:
    """Photographs set in motion: optical flow, detection, segmentation."""

@overload
def load(
    name_or_url: Literal['oxford_iiit_pet'], split: Literal['trainval', 'test'], *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Oxford-IIIT Pet: classification, segmentation, detection."""

@overload
def load(
    name_or_url: Literal['pcam'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """PatchCamelyon: classification."""

@overload
def load(
    name_or_url: Literal['qmnist'], split: Literal['train', 'test', 'nist'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """QMNIST handwritten digits: classification."""

@overload
def load(
    name_or_url: Literal['rendered_sst2'], split: Literal['train', 'val', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Rendered SST2: classification."""

@overload
def load(
    name_or_url: Literal['sintel'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., pass_name: Literal['clean', 'final', 'both', 'albedo'] = ..., depth: Literal[False, True] = ...,
) -> DataPipe:
    """MPI Sintel: optical flow."""

@overload
def load(
    name_or_url: Literal['stanford_cars'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ...,
) -> DataPipe:
    """Stanford Cars (Cars196): classification, detection."""

@overload
def load(
    name_or_url: Literal['sun397'], split: Literal['all', 'train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., partition: Literal[1, 2, 3, 4, 5, 6, 7, 8, 9, 10] = ...,
) -> DataPipe:
    """SUN397: classification."""

@overload
def load(
    name_or_url: Literal['usps'], split: Literal['train', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., dtype: Literal['uint8', 'float32'] = ...,
) -> DataPipe:
    """USPS handwritten digits: classification."""

@overload
def load(
    name_or_url: Literal['voc'], split: Literal['train', 'val', 'trainval', 'test'] | None = ..., *,
    root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., year: Literal['2007', '2008', '2009', '2010', '2011', '2012'] = ..., task: Literal['detection', 'segmentation'] = ...,
) -> DataPipe:
    """PASCAL VOC 2007 to 2012: detection, segmentation."""

@overload
def load(name_or_url: _Path, split: str | None = ..., *, root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..., **options: Any) -> DataPipe: ...
