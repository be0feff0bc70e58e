/// A contiguous tensor that owns its memory: the output of a selection or of dequantisation.
public struct KVTensor: Sendable {
    /// The type of its elements.
    public let element: KVElement
    /// Its sizes.
    public let shape: KVShape
    let memory: KVMemory

    /// Allocates memory for `shape`; its content is undefined.
    init(element: KVElement, shape: KVShape) {
        self.element = element
        self.shape = shape
        memory = KVMemory(count: shape.count * element.bytes)
    }

    /// A tensor that `body` fills, for the result of a ``KVEncoding``.
    ///
    /// - Parameters:
    ///   - element: the type of its elements.
    ///   - shape: its sizes.
    ///   - body: receives the elements' memory, `[batch, heads, rows, columns]`, contiguous, and writes all of it.
    public init<Failure: Error>(
        element: KVElement, shape: KVShape, filledBy body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        self.init(element: element, shape: shape)
        try body(UnsafeMutableRawBufferPointer(start: memory.start, count: memory.count))
    }

    /// Size in bytes.
    public var byteCount: Int { memory.count }

    /// A view of the tensor, which keeps its memory alive.
    public var view: KVView { KVView(memory, element: element, shape: shape) }

    /// Calls `body` with the elements, `[batch, heads, rows, columns]`, contiguous. They are valid during the call.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try memory.withBytes(body)
    }
}
