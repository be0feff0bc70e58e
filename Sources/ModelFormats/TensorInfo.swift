/// The description of one tensor in the header of its file.
public struct TensorInfo: Sendable, Hashable {
    /// The name of the tensor.
    public var name: String

    /// The element type as the format spells it: `F32`, `BF16`, `F4` … in safetensors,
    /// `F32`, `Q4_K`, `IQ2_XXS` … in GGUF. `ElementType` has its size. `ggml:36` is a GGUF type that is unknown here.
    public var dtype: String

    /// The number of elements along each dimension, in the file's order.
    ///
    /// Safetensors is row-major, outermost dimension first. GGUF stores the innermost dimension
    /// first: a matrix of 4096 rows of 1024 elements is `[4096, 1024]` in safetensors and
    /// `[1024, 4096]` in GGUF. A scalar has an empty shape.
    public var shape: [Int]

    /// The position of the tensor's first byte, in bytes from the start of the file.
    public var offset: Int

    /// The size of the tensor's data, in bytes; 0 if a dimension is 0.
    public var bytes: Int

    /// Creates a description; nothing is checked.
    public init(name: String, dtype: String, shape: [Int], offset: Int, bytes: Int) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.offset = offset
        self.bytes = bytes
    }
}
