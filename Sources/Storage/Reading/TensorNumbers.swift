import ModelFormats

/// The numbers of the layers and experts of a revision. Numbers that a caller gives are checked against them: without
/// the check, a selection of layers that do not exist would be empty, and one of experts would be all other tensors.
package struct TensorNumbers: Sendable {
    private var layers: Set<Int> = []
    private var experts: Set<Int> = []
    /// The most experts that a tensor stacks. They have the numbers from 0.
    private var stacked = 0

    /// - Parameters:
    ///   - entries: all tensors of the revision.
    ///   - stack: the experts that a tensor stacks; nil if it is no such tensor.
    package init(_ entries: some Sequence<TensorEntry>, stack: (TensorEntry) -> ExpertStack?) {
        for entry in entries { add(layer: entry.layer, expert: entry.expert, stack(entry)) }
    }

    /// - Parameter files: all files of a revision that may have no rows yet.
    package init(_ files: [Manifest.File]) {
        for file in files {
            for tensor in file.content.tensors {
                let place = TensorPlace(tensorName: tensor.name)
                add(
                    layer: place.layer, expert: place.expert,
                    ExpertStack(
                        name: tensor.name, shape: tensor.shape, bytes: tensor.bytes, format: file.content.format))
            }
        }
    }

    private mutating func add(layer: Int?, expert: Int?, _ stack: @autoclosure () -> ExpertStack?) {
        if let layer { layers.insert(layer) }
        if let expert {
            experts.insert(expert)
        } else if let known = stack() {
            stacked = max(stacked, known.experts)
        }
    }

    /// Checks that no number is beyond the last one of the revision, and that there is at least one of the layers and one
    /// of the experts. A layer may have none of the experts, but not the whole revision.
    ///
    /// - Parameter name: the name of the revision, for the error.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, with the numbers that the revision has.
    package func check(
        layers: ClosedRange<Int>?, experts: ClosedRange<Int>?, of name: String
    ) throws(StorageError) {
        try Self.check(layers, in: self.layers, "layer", of: name)
        try Self.check(experts, in: self.experts.union(0..<stacked), "expert", of: name)
    }

    private static func check(
        _ range: ClosedRange<Int>?, in numbers: Set<Int>, _ kind: String, of name: String
    ) throws(StorageError) {
        guard let range else { return }
        guard let first = numbers.min(), let last = numbers.max() else {
            throw .notFound(
                kind: kind, name: "\(name) \(text(kind, range))", detail: "No tensor of the revision has a \(kind).")
        }
        guard range.upperBound <= last, numbers.contains(where: range.contains) else {
            throw .notFound(
                kind: kind, name: "\(name) \(text(kind, range))",
                detail: "The revision has the \(text(kind, first...last)).")
        }
    }

    /// `layer 3`, or `layers 0-11`.
    private static func text(_ kind: String, _ range: ClosedRange<Int>) -> String {
        range.lowerBound == range.upperBound
            ? "\(kind) \(range.lowerBound)" : "\(kind)s \(range.lowerBound)-\(range.upperBound)"
    }
}
