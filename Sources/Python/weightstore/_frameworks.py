"""Arrays and tensors over leased bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ._errors import SafetensorError

if TYPE_CHECKING:
    import numpy
    import torch

    from ._forked import ForkedTensor
    from ._store import LeasedTensor, TensorInfo

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


def _refuse(info: TensorInfo) -> SafetensorError:
    return SafetensorError(
        f"Dtype not understood: {info.dtype} of {info.name}, which is quantized: NumPy and PyTorch have no such type. Pass "
        "quantized=\"raw\" for its bytes.")


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
    import numpy

    quantized = is_quantized(tensor.info)
    if quantized and not raw:
        raise _refuse(tensor.info)
    dtype = numpy.dtype("uint8") if quantized else numpy_dtype(tensor.info.dtype)
    shape = array_shape(tensor.info, raw)
    if tensor.info.bytes == 0:
        array = numpy.zeros(shape, dtype)
        array.flags.writeable = False
        return array
    return numpy.frombuffer(tensor.memory(), dtype).reshape(shape)


def torch_dtype(name: str) -> torch.dtype:
    import torch

    dtype: torch.dtype | None = getattr(torch, _TORCH.get(name, ""), None)
    if dtype is None:
        known = " in this version of PyTorch" if name in _TORCH else ""
        raise SafetensorError(f"Dtype not understood{known}: {name}")
    return dtype


def torch_tensor(tensor: LeasedTensor | ForkedTensor, raw: bool = False) -> torch.Tensor:
    """
    Args:
        raw: quantized tensors as bytes.
    """
    import torch

    quantized = is_quantized(tensor.info)
    if quantized and not raw:
        raise _refuse(tensor.info)
    dtype = torch.uint8 if quantized else torch_dtype(tensor.info.dtype)
    shape = list(array_shape(tensor.info, raw))
    if tensor.info.dtype == "F4":
        # Two elements in each byte.
        if not shape or shape[-1] % 2:
            raise SafetensorError(f"f4_x2 dtype requires that the last dim be divisible by 2 in torch: got {shape}")
        shape[-1] //= 2
    kind, number = tensor.__dlpack_device__()
    if tensor.info.bytes == 0:
        return torch.zeros(shape, dtype=dtype, device=f"cuda:{number}" if kind == 2 else "cpu")
    # Always as bytes, because DLPack consumers do not support all types.
    return tensor.torch_bytes().view(dtype).reshape(shape)
