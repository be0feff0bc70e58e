/// A contiguous tensor that owns its memory: what a method keeps, or what was dequantised.
public struct KVTensor: Sendable {
    public let element: KVElement
    public let shape: KVShape
    let memory: KVMemory

    /// Memory for `shape`, its content not defined yet.
    init(element: KVElement, shape: KVShape) {
        self.element = element
        self.shape = shape
        memory = KVMemory(count: shape.count * element.bytes)
    }

    /// Bytes of all elements.
    public var byteCount: Int { memory.count }

    /// The tensor as a method reads it. Keeps the memory alive.
    public var view: KVView { KVView(memory, element: element, shape: shape) }

    /// Calls `body` with the elements, `[batch, heads, rows, columns]` without gaps. They are valid during the call.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try memory.withBytes(body)
    }
}
