"""Names that torch's DataPipes, webdataset and others have for it, and what to write here."""

from __future__ import annotations

ADVICE = {
    "prefetch": "prefetching is how, not what: .loader(prefetch=n)",
    "pin_memory": "pinning is how, not what: .loader(pin_memory=True)",
    "to": "moving is how, not what: .loader(device=...), or batch.to(device)",
    "fork": "a pipe is a value: use it twice",
    "demux": "write one .filter(fn) for each branch",
    "mux": "write vdata.mix([a, b]), or vdata.concat(a, b)",
    "groupby": "write .flat_map(fn) over a batch",
    "read_from_stream": "write vdata.open(url)",
    "open_files": "write vdata.open(url) or vdata.from_folder(path)",
    "routed_decode": "decoding happens by itself; .decode(mode=...) sets its options",
    "resampled": "write .shuffle(seed=0).repeat()",
    "with_epoch": "write .repeat().take(n)",
    "with_length": "a length is never declared: len(pipe) is the true one",
    "with_format": "samples are tensors already",
    "map_dict": "write .map(fn) with a function of the sample",
    "map_tuple": "write .map(fn) before .to_tuple(...)",
    "compose": "write .pipe(fn)",
    "split_by_node": "ranks are dealt by .loader(); in a foreign loader write .shard(world_size, rank)",
    "split_by_worker": "workers are dealt by themselves",
    "with_options": "how to run is said in .loader(...)",
    "interleave": "write vdata.mix([a, b]), with weights=... or without",
    "mix": "write vdata.mix([a, b], weights=[0.7, 0.3])",
}
