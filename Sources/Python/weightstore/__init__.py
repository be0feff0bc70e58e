"""Model weights from a WeightStore, as NumPy arrays and PyTorch tensors that share its memory.

    import weightstore

    weights = weightstore.load_file("org/name@main")                 # {name: torch.Tensor}, no copy
    with weightstore.safe_open("org/name", framework="np") as file:  # as safetensors.safe_open
        rows = file.get_slice("model.embed_tokens.weight")[:100]

    store = weightstore.open("/var/lib/weightstore")
    revision = store.revision("org/name@~3")
    with revision.lease_layer(12) as lease:
        lease["model.layers.12.mlp.up_proj.weight"].numpy()

All tensors are views. NumPy arrays are marked read-only. PyTorch has no read-only tensors: on the CPU a tensor's pages
are shared until they are written, and then private to the tensor (copy on write), even if other tensors have the same
bytes; on a GPU the tensors are in the tier's memory and must not be written. A tensor holds a lease as long as it
lives, so that its bytes are not evicted.

The package needs libweightstore (Sources/Command/install). NumPy and PyTorch are imported on first use.
"""

from ._errors import (
    BadAnswerError,
    BadStoreError,
    BusyError,
    CancelledError,
    DamagedError,
    DeviceError,
    DiskFullError,
    ForkedError,
    InvalidArgumentError,
    NotAllowedError,
    NotFoundError,
    SafetensorError,
    TierFullError,
    TimedOutError,
    UnreachableError,
    WeightStoreError,
)
from ._management import (
    ImportSummary,
    ModelInfo,
    Progress,
    PullSummary,
    RemovalSummary,
    RevisionInfo,
    StoreStatistics,
    WarmSummary,
)
from ._safetensors import TensorSlice, load_file, safe_open
from ._store import (
    FileInfo,
    LayerInfo,
    Lease,
    LeasedTensor,
    Location,
    Revision,
    Store,
    TierStatistics,
    open,
    set_log,
    shared_store,
)
from ._tensors import TensorInfo
from ._pending import Part, PendingLease  # After _store, which it imports.
from ._waiting import Limit

#: The version of the package, as in pyproject.toml.
__version__ = "1"

__all__ = [
    "BadAnswerError", "BadStoreError", "BusyError", "CancelledError", "DamagedError", "DeviceError", "DiskFullError",
    "FileInfo", "ForkedError", "ImportSummary", "InvalidArgumentError", "LayerInfo", "Lease", "LeasedTensor", "Limit",
    "Location", "ModelInfo", "NotAllowedError", "NotFoundError", "Part", "PendingLease", "Progress", "PullSummary",
    "RemovalSummary", "Revision", "RevisionInfo", "SafetensorError", "Store", "StoreStatistics", "TensorInfo",
    "TensorSlice", "TierFullError", "TierStatistics", "TimedOutError", "UnreachableError", "WarmSummary",
    "WeightStoreError", "load_file", "open", "safe_open", "set_log", "shared_store",
]
