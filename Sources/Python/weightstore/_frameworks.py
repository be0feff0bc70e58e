"""Arrays and tensors over leased bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from ._errors import SafetensorError
from ._tensors import read_only

if TYPE_CHECKING:
    import numpy
    import torch

    from ._forked import ForkedTensor
    from ._store import Lease, LeasedTensor
    from ._tensors import TensorInfo

_NUMPY = {
    "BOOL": "bool", "I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "F32": "float32", "F64": "float64", "C64": "complex64",
}

#: Types that NumPy supports only with the package ml_dtypes.
_ML_DTYPES = {
    "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}

_TORCH = {**_NUMPY, **_ML_DTYPES, "F4": "float4_e2m1fn_x2"}

#: Types of safetensors; the others are types of GGUF, with several elements in a block.
_KNOWN = {*_TORCH, "F6_E2M3", "F6_E3M2"}


def is_quantized(info: TensorInfo) -> bool:
    """Whether the elements are packed in blocks, of a type that neither NumPy nor PyTorch has."""
    return info.dtype not in _KNOWN


def array_shape(info: TensorInfo, raw: bool) -> tuple[int, ...]:
    """The shape of the array: with ``raw``, of bytes for quantized tensors, whose last dimension is a row of blocks."""
    if not (raw and is_quantized(info)):
        return info.shape
    rows = math.prod(info.shape[:-1])
    if not info.shape or rows == 0 or info.bytes % rows:
        return (info.bytes,)
    return (*info.shape[:-1], info.bytes // rows)


def array_info(info: TensorInfo, raw: bool) -> TensorInfo:
    """The tensor as an array has it: with ``raw``, the bytes of a quantized tensor.

    Raises:
        SafetensorError: it is quantized, and not ``raw``.
    """
    if not is_quantized(info):
        return info
    if not raw:
        raise SafetensorError(
            f"Dtype not understood: {info.dtype} of {info.name}, which is quantized: NumPy and PyTorch have no such type. "
            "Pass quantized=\"raw\" for its bytes.")
    return info._replace(dtype="U8", shape=array_shape(info, raw))


def numpy_dtype(name: str) -> numpy.dtype[Any]:
    import numpy

    if name in _NUMPY:
        return numpy.dtype(_NUMPY[name])
    if name in _ML_DTYPES:
        try:
            import ml_dtypes
        except ImportError:
            raise SafetensorError(
                f"{name}: NumPy has no such type. Use framework=\"pt\", or install ml_dtypes."
            ) from None
        dtype: numpy.dtype[Any] = numpy.dtype(getattr(ml_dtypes, _ML_DTYPES[name]))
        return dtype
    raise SafetensorError(f"Dtype not understood: {name}")


def numpy_array(tensor: LeasedTensor | ForkedTensor, raw: bool = False) -> numpy.ndarray[Any, Any]:
    """
    Args:
        raw: quantized tensors as bytes.
    """
    return numpy_view(array_info(tensor.info, raw), tensor.memory())


def numpy_view(info: TensorInfo, memory: memoryview) -> numpy.ndarray[Any, Any]:
    """An array over the bytes of a tensor, which :func:`array_info` describes."""
    import numpy

    dtype = numpy_dtype(info.dtype)
    if info.bytes == 0:
        array = numpy.zeros(info.shape, dtype)
        array.flags.writeable = False
        return array
    return numpy.frombuffer(memory, dtype).reshape(info.shape)


def numpy_arrays(
        lease: Lease, raw: bool = False,
        known: Sequence[TensorInfo] | None = None) -> Iterator[tuple[str, numpy.ndarray[Any, Any]]]:
    """Read-only arrays over the tensors of a lease in this process's memory, by name. Each holds a lease.

    Args:
        raw: quantized tensors as bytes.
        known: the descriptions of all of them, in the order of ``Revision.tensors``.
    """
    for info, memory in lease._blocks(known):
        yield info.name, numpy_over(info, memory, raw)


def numpy_over(info: TensorInfo, memory: Any, raw: bool) -> numpy.ndarray[Any, Any]:
    """A read-only array over a block of memory; None for zero bytes."""
    view = memoryview(b"") if memory is None else read_only(memory, info.bytes)
    return numpy_view(array_info(info, raw), view)


def torch_dtype(name: str) -> torch.dtype:
    import torch

    dtype: torch.dtype | None = getattr(torch, _TORCH.get(name, ""), None)
    if dtype is None:
        known = " in this version of PyTorch" if name in _TORCH else ""
        raise SafetensorError(f"Dtype not understood{known}: {name}")
    return dtype


def torch_shape(info: TensorInfo) -> list[int]:
    shape = list(info.shape)
    if info.dtype == "F4":
        # Two elements in each byte.
        if not shape or shape[-1] % 2:
            raise SafetensorError(f"f4_x2 dtype requires that the last dim be divisible by 2 in torch: got {shape}")
        shape[-1] //= 2
    return shape


def torch_tensor(tensor: LeasedTensor | ForkedTensor, raw: bool = False) -> torch.Tensor:
    """
    Args:
        raw: quantized tensors as bytes.
    """
    import torch

    info = array_info(tensor.info, raw)
    dtype, shape = torch_dtype(info.dtype), torch_shape(info)
    kind, number = tensor.__dlpack_device__()
    if info.bytes == 0:
        return torch.zeros(shape, dtype=dtype, device=f"cuda:{number}" if kind == 2 else "cpu")
    # Always as bytes, because DLPack consumers do not support all types.
    return tensor.torch_bytes().view(dtype).reshape(shape)


def torch_tensors(
        lease: Lease, raw: bool = False,
        known: Sequence[TensorInfo] | None = None) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors over the memory of a lease, by name. Each has a storage of its own, which holds a lease.

    Their memory is that of the lease: it can be written only if the lease's can.

    Args:
        raw: quantized tensors as bytes.
        known: the descriptions of all of them, in the order of ``Revision.tensors``.
    """
    if lease.tier not in ("ram", "host"):
        for tensor in lease:
            yield tensor.info.name, torch_tensor(tensor, raw)
        return
    for info, memory in lease._blocks(known):
        yield info.name, torch_over(info, memory, raw)


#: By the type in the file, and whether quantized tensors are bytes: the type of PyTorch, the size of an element, and whether
#: the shape is another one there.
_TORCH_TYPES: dict[tuple[str, bool], tuple[torch.dtype, int, bool]] = {}


def torch_over(info: TensorInfo, memory: Any, raw: bool) -> torch.Tensor:
    """A tensor over a block of memory; None for zero bytes."""
    import torch

    known = _TORCH_TYPES.get((info.dtype, raw))
    if known is None:
        dtype = torch_dtype(array_info(info, raw).dtype)
        known = _TORCH_TYPES[info.dtype, raw] = (
            dtype, torch.empty(0, dtype=dtype).element_size(), info.dtype == "F4" or is_quantized(info))
    shape = torch_shape(array_info(info, raw)) if known[2] else info.shape
    if memory is None:
        return torch.zeros(shape, dtype=known[0])
    made = torch.frombuffer(memory, dtype=known[0], count=info.bytes // known[1])
    # Faster than reshape, but it has no form for a scalar.
    return made.view(*shape) if shape else made.reshape(())
