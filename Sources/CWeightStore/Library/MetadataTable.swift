import CWeightStoreHeader
import Support
import WeightStore

/// The metadata of a file in C's form: of a GGUF file, or of a safetensors file; other files have none.
enum MetadataTable {
    static func make(_ file: FileEntry, of revision: Revision, work: Work?) throws -> CTable<weightstore_metadata> {
        let source = RevisionFileSource(revision: revision, file: file, work: work)
        let values: [(key: String, value: GGUFValue)]
        switch FileFormat(rawValue: file.format) {
        case .gguf?: values = try GGUF.readMetadata(source)
        case .safetensors?:
            values = try Safetensors.readLayout(source).metadata.sorted { $0.key < $1.key }.map { key, text in
                let bytes = Array(text.utf8)
                return (key, GGUFValue(type: "string", count: nil, elements: .strings(bytes, ends: [bytes.count])))
            }
        default: values = []
        }
        return CTable { memory in values.map { row($0.key, $0.value, memory) } }
    }

    private static func row(_ key: String?, _ value: GGUFValue, _ memory: CMemory) -> weightstore_metadata {
        var row = weightstore_metadata()
        row.struct_size = MemoryLayout<weightstore_metadata>.size
        row.key = memory.string(key)
        row.type = memory.string(value.type)
        row.count = Int64(value.count ?? -1)
        switch value.elements {
        case .numbers(let bytes): row.values = memory.bytes(bytes).map { UnsafeRawPointer($0) }
        case .strings(let bytes, let ends): row.values = memory.texts(bytes, ends: ends).map { UnsafeRawPointer($0) }
        case .arrays(let values):
            let rows = values.map { memory.value(self.row(nil, $0, memory)) }
            row.values = memory.pointers(rows).map { UnsafeRawPointer($0) }
        }
        return row
    }
}

/// The bytes of a file of a revision. Those that are not stored are fetched.
private struct RevisionFileSource: ByteSource {
    let revision: Revision
    let file: FileEntry
    let work: Work?

    var name: String { "\(revision.name) \(file.path)" }
    var count: Int { file.bytes }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard !buffer.isEmpty else { return }
        try check(at: offset, count: buffer.count)
        let bytes = try revision.bytes(of: file, in: offset..<offset + buffer.count, work: work)
        _ = try bytes.read(at: offset, into: buffer)
    }
}
