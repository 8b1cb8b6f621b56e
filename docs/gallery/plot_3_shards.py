"""
Shards, and exact resume
========================

Packed once, a set is read by random access from a disk, a web server or a bucket, in an order that is the same for any number of readers.
"""

import json
import tempfile
from pathlib import Path

import vdata
from vdata import viz

# %%
# `pack` writes webdataset tars, which anybody reads, and a manifest beside them: every sample's place, size, checksum, and the type of each field.

folder = Path(tempfile.mkdtemp()) / "photos"
data = vdata.load("moving_photos", size=(64, 96), length=60)
packed = data.select("image1", "boxes").pack(str(folder), samples_per_shard=20, quiet=True)
sorted(path.name for path in folder.iterdir())

# %%
# What comes back is what went in: pictures bit for bit, boxes with their format and canvas.

viz.sheet([packed[i] for i in range(8)], columns=4, height=120)

# %%
# The same call with ``s3://``, ``gs://``, ``az://``, ``hf://`` or ``https://`` reads from there, through a cache that all processes of the machine share.

pipe = vdata.open(str(folder)).shuffle(seed=0).batch(8)
pipe

# %%
# A loader knows where it stands, as JSON. Saved beside the model, it is all that a run needs to go on.

loader = pipe.loader(workers=2)
for step, _ in enumerate(loader):
    if step == 2:
        state = json.dumps(loader.state_dict(), indent=1)
        break
loader.close()
print(state)

# %%
# Another process, another number of workers or ranks: the rest of the epoch is the same, to the bit.

later = pipe.loader(workers=0)
later.load_state_dict(json.loads(state))
rest = [key for batch in later for key in batch["__key__"]]
whole = [key for batch in pipe for key in batch["__key__"]]
assert rest == whole[24:]

# %%
# Two ranks see the same sequence, dealt in turns.

samples = vdata.open(str(folder)).shuffle(seed=0)
first, second = (list(samples.loader(rank=r, world_size=2, workers=0)) for r in (0, 1))
dealt = [s["__key__"] for pair in zip(first, second) for s in pair]
assert dealt == whole

# %%
# Nothing is lost in silence. One flipped bit, and the sample that holds it raises, naming shard, key and field.

shard = next(folder.glob("*.tar"))
data = bytearray(shard.read_bytes())
data[len(data) // 2] ^= 1
shard.write_bytes(data)
try:
    for _ in vdata.open(str(folder)):
        pass
except vdata.errors.DataError as error:
    print(type(error).__name__, str(error).replace(str(folder), "photos"))
