"""Writes authors.safetensors with the library of the format's authors: safetensors 0.8.0, numpy 2.4.6."""

import numpy as np
from safetensors.numpy import save_file

save_file(
    {
        "weight": (np.arange(6, dtype=np.float32) / 3).reshape(2, 3),
        "half": np.array([0.1, -2.5, 65504], dtype=np.float16),
        "ids": np.array([-1, 2**40], dtype=np.int64),
        "bytes": np.array([0, 255], dtype=np.uint8),
        "mask": np.array([True, False, True]),
        "scalar": np.array(7, dtype=np.int32),
        "none": np.zeros((0, 4), dtype=np.float32),
        "names may hold \u00e4 and \"": np.array([1], dtype=np.int8),
    },
    "authors.safetensors",
    metadata={"format": "np", "note": "line\nline"},
)
