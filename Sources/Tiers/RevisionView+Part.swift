import ModelFormats
import Storage
import Support

extension RevisionView.Part: CustomStringConvertible {
    /// A layer, with all experts or only those with these numbers.
    package init(layer: Int, experts: ClosedRange<Int>?) {
        self = experts.map { .withExperts($0, layers: layer...layer) } ?? .layers(layer...layer)
    }

    /// Whether the part has bytes of a tensor.
    ///
    /// - Parameter stacked: the experts that the tensor stacks; nil if it is no such tensor. Evaluated only for tensors
    ///   of the part's layer.
    package func contains(_ entry: TensorEntry, stacked: @autoclosure () -> ExpertStack?) -> Bool {
        // Whether the tensor belongs to one of the experts, or stacks one of them.
        func hasExpert(_ numbers: ClosedRange<Int>) -> Bool {
            if let expert = entry.expert { return numbers.contains(expert) }
            return stacked().map { numbers.overlaps(0...$0.experts - 1) } ?? false
        }
        return switch self {
        case .all: true
        case .rest: entry.layer == nil
        case .layers(let range): entry.layer.map(range.contains) ?? false
        case .stackLayer(let stack, let layer): entry.stack.map { ByteText($0) } == stack && entry.layer == layer
        case .expert(let layer, let expert): entry.layer == layer && hasExpert(expert...expert)
        case .experts(let layer, let experts): entry.layer == layer && hasExpert(experts)
        case .withExperts(let experts, let layers):
            (layers.map { entry.layer.map($0.contains) ?? false } ?? true)
                && (entry.expert.map(experts.contains) ?? true)
        case .nonExperts(let layer): entry.layer == layer && entry.expert == nil && stacked() == nil
        case .tensor(let name): ByteText(entry.name) == name
        case .tensorOfFile(let name, let file): ByteText(entry.name) == name && ByteText(entry.file) == file
        case .file(let file): ByteText(entry.file) == file
        case .shard(let digest, let file): entry.shard == digest && ByteText(entry.file) == file
        }
    }

    /// The experts, if the part has no other tensors.
    package var onlyExperts: ClosedRange<Int>? {
        switch self {
        case .expert(_, let expert): expert...expert
        case .experts(_, let experts): experts
        case .all, .rest, .layers, .stackLayer, .withExperts, .nonExperts, .tensor, .tensorOfFile, .file, .shard: nil
        }
    }

    /// The name of the tensors, if the part has no others.
    var tensorName: ByteText? {
        switch self {
        case .tensor(let name), .tensorOfFile(let name, _): name
        default: nil
        }
    }

    package var layer: Int? {
        switch self {
        case .layers(let range) where range.lowerBound == range.upperBound: range.lowerBound
        case .withExperts(_, let range?) where range.lowerBound == range.upperBound: range.lowerBound
        case .all, .rest, .layers, .withExperts, .tensor, .tensorOfFile, .file, .shard: nil
        case .stackLayer(_, let layer), .expert(let layer, _), .experts(let layer, _), .nonExperts(let layer): layer
        }
    }

    package var kind: String {
        switch self {
        case .all, .rest, .tensor, .tensorOfFile, .file, .shard: "tensor"
        case .layers, .stackLayer, .nonExperts: "layer"
        case .withExperts(_, let layers): layers == nil ? "tensor" : "layer"
        case .expert, .experts: "expert"
        }
    }

    package var description: String {
        switch self {
        case .all: "(all tensors)"
        case .rest: "(tensors outside the layers)"
        case .layers(let range) where range.lowerBound == range.upperBound: "layer \(range.lowerBound)"
        case .layers(let range): "layers \(range.lowerBound)-\(range.upperBound)"
        case .stackLayer(let stack, let layer): "\(stack).\(layer)"
        case .expert(let layer, let expert): "layer \(layer) expert \(expert)"
        case .experts(let layer, let range): "layer \(layer) experts \(range.lowerBound)-\(range.upperBound)"
        case .withExperts(let range, let layers):
            (layers.map { "layers \($0.lowerBound)-\($0.upperBound)" } ?? "(all tensors)")
                + " with experts \(range.lowerBound)-\(range.upperBound)"
        case .nonExperts(let layer): "layer \(layer) without its experts"
        case .tensor(let name): name.text
        case .tensorOfFile(let name, let file): "\(file) \(name)"
        case .file(let file): "(tensors of \(file))"
        case .shard(let digest, let file): "(tensors of \(file) in shard \(digest.short))"
        }
    }
}
