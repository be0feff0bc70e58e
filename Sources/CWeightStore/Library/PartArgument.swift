import CWeightStoreHeader
import WeightStore

extension RevisionView.Part {
    /// - Throws: ``CallError`` for an unknown kind, and for numbers out of range.
    init(_ argument: UnsafePointer<weightstore_part>?) throws(CallError) {
        let part = try given(argument, "part")
        func layers() throws(CallError) -> ClosedRange<Int> { try range("layers", part.first_layer, part.last_layer) }
        func layer() throws(CallError) -> Int { try range("layer", part.first_layer, part.first_layer).lowerBound }
        func experts() throws(CallError) -> ClosedRange<Int> {
            try range("experts", part.first_expert, part.last_expert)
        }
        switch UInt32(exactly: part.kind).map(weightstore_part_kind.init(rawValue:)) {
        case WEIGHTSTORE_PART_TENSORS:
            let (file, name) = (try optionalText(part.file, "file"), try optionalText(part.name, "name"))
            self =
                switch (file, name) {
                case (nil, nil): .all
                case (let file?, nil): .file(ByteText(file))
                case (nil, let name?): .tensor(ByteText(name))
                case (let file?, let name?): .tensorOfFile(ByteText(name), file: ByteText(file))
                }
        case WEIGHTSTORE_PART_LAYERS:
            let layers = try layers()
            guard let stack = try optionalText(part.stack, "stack") else {
                self = .layers(layers)
                return
            }
            guard layers.lowerBound == layers.upperBound else {
                throw .argument(
                    "layers \(layers.lowerBound) to \(layers.upperBound) of the stack \(stack): must be one layer")
            }
            self = .stackLayer(ByteText(stack), layers.lowerBound)
        case WEIGHTSTORE_PART_REST: self = .rest
        case WEIGHTSTORE_PART_EXPERTS: self = .experts(layer: try layer(), try experts())
        case WEIGHTSTORE_PART_WITH_EXPERTS:
            let isWhole = part.first_layer == -1 && part.last_layer == -1
            self = .withExperts(try experts(), layers: isWhole ? nil : try layers())
        case WEIGHTSTORE_PART_WITHOUT_EXPERTS: self = .nonExperts(layer: try layer())
        default: throw .argument("kind \(part.kind) of the part: must be a weightstore_part_kind")
        }
    }
}

extension weightstore_part: VersionedStruct {
    static let firstSize = 72
}
