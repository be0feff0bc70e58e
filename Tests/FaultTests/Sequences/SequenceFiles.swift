import Files
import Foundation
import Glibc
import ModelFormats
import Storage
import TestSupport

/// The files of small models, some of which share tensors.
enum SequenceFiles {
    /// The number of different models.
    static let variants = 12
    /// The number of layers of each model.
    static let layers = 3

    /// The files of a model, by path. The variants of one family (six in a row) share all but one layer.
    static func model(_ variant: Int) throws -> [String: [UInt8]] {
        try cached[variant % variants].get()
    }

    private static let cached: [Result<[String: [UInt8]], any Error>] = (0..<variants).map { variant in
        Result { try make(family: variant / 6, number: variant % 6) }
    }

    private static func make(family: Int, number: Int) throws -> [String: [UInt8]] {
        var model = TestModel(layers: 0, seed: UInt64(family + 1))
        model.tensors = [.init(name: "model.embed_tokens.weight", dtype: "F32", shape: [16, 16])]
        for layer in 0..<layers {
            model.tensors += [
                .init(name: "model.layers.\(layer).input_layernorm.weight", dtype: "F32", shape: [16]),
                .init(name: "model.layers.\(layer).self_attn.q_proj.weight", dtype: "F32", shape: [16, 16]),
                .init(name: "model.layers.\(layer).mlp.up_proj.weight", dtype: "BF16", shape: [16, 32]),
            ]
        }
        // 0 is the base; 1, 2 and 3 change one layer each; 4 has the base's bytes under other names; 5 is in two files.
        if (1...3).contains(number) {
            model.seeds["model.layers.\(number - 1).self_attn.q_proj.weight"] = UInt64(100 + number)
        }
        let directory = try TemporaryDirectory()
        try model.write(to: directory.path, files: number == 5 ? 2 : 1)
        var files: [String: [UInt8]] = [:]
        for path in TemporaryDirectory.files(below: directory.path) { files[path] = try contents(directory(path)) }
        if number == 4 {
            files["weights.bin"] = files.removeValue(forKey: "model.safetensors")
            files["notes.txt"] = Array("the same bytes under another name\n".utf8)
        }
        return files
    }

    /// Whether a file has tensors, of each layer some: the bytes decide, and events change neither a header nor the
    /// beginning of a name.
    static func isWeights(_ path: String) -> Bool {
        (path.hasPrefix("model") || path.hasPrefix("weights")) && !path.contains(".index.json")
    }

    static func digest(_ bytes: [UInt8]) -> ContentDigest { bytes.withUnsafeBytes { ContentDigest(of: $0) } }
}

/// The directory of a sequence: a store, directories of models, and the files that events have put aside.
struct SequenceDirectory {
    /// The digest of each file, by path.
    typealias Contents = [String: ContentDigest]

    static let places = 5

    let root: String
    private let directory: TemporaryDirectory
    var tool: Tool

    /// In memory if that is possible: syncs then cost nothing.
    init() throws {
        let memory = "/dev/shm"
        directory = try TemporaryDirectory(in: access(memory, W_OK) == 0 ? memory : nil)
        root = directory.path
        tool = Tool(store: root + "/store")
        for prompt in 0..<SequencePrompt.count {
            let tokens = SequencePrompt.tokens(prompt).flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
            try directory.write(tokens, to: "tokens\(prompt)")
            try directory.write(SequencePrompt.bytes(prompt), to: "blocks\(prompt)")
        }
    }

    var store: String { root + "/store" }
    var aside: String { root + "/blobs.away" }
    var isMounted: Bool { !FileSystem.exists(aside) }
    /// The directory with the blobs, mounted or not.
    var blobs: BlobDirectory { BlobDirectory(root: isMounted ? store + "/blobs" : aside) }

    func place(_ number: Int) -> String { "\(root)/d\(number)" }
    func url(_ number: Int) -> String { "file://\(place(number))" }

    /// The files of a directory; nil if it does not exist.
    func contents(ofPlace number: Int) throws -> Contents? { try contents(place(number)) }

    func contents(_ path: String) throws -> Contents? {
        guard FileSystem.exists(path) else { return nil }
        var contents: Contents = [:]
        for name in TemporaryDirectory.files(below: path) {
            contents[name] = SequenceFiles.digest(try FileSystem.read("\(path)/\(name)", limit: 1 << 30))
        }
        return contents
    }

    // MARK: Blobs

    /// The blobs on the disk whose bytes have their digest, with their sizes, and those whose bytes have not.
    func scan() throws -> (whole: [BlobDirectory.Name: Int], damaged: Set<BlobDirectory.Name>) {
        var whole: [BlobDirectory.Name: Int] = [:]
        var damaged: Set<BlobDirectory.Name> = []
        guard FileSystem.exists(blobs.root) else { return (whole, damaged) }
        for folder in try FileSystem.entries(blobs.root) where folder.utf8.count == 2 {
            for name in try blobs.contents(folder).blobs {
                let bytes = try FileSystem.read(blobs.path(name.digest, name.kind), limit: 1 << 30)
                if SequenceFiles.digest(bytes) == name.digest {
                    whole[name] = bytes.count
                } else {
                    damaged.insert(name)
                }
            }
        }
        return (whole, damaged)
    }

    /// Copies the store, for checks that must not change it. Blobs are linked, because nothing changes them.
    ///
    /// - Returns: the copy's path.
    func copy() throws -> String {
        let copy = root + "/copy"
        try FileSystem.removeTree(copy)
        for folder in ["", "/blobs", "/quarantine", "/partial", "/staging", "/leases"] {
            guard mkdir(copy + folder, 0o755) == 0 else { throw SequenceFailure("mkdir \(copy + folder): \(errno)") }
        }
        for name in ["reserve", "blobs/.store"] { link("\(store)/\(name)", "\(copy)/\(name)") }
        for name in try FileSystem.entries("\(store)/quarantine") {
            link("\(store)/quarantine/\(name)", "\(copy)/quarantine/\(name)")
        }
        // A fetch resumes a partial file only if it has one name.
        for name in try FileSystem.entries("\(store)/partial") {
            try write(
                try FileSystem.read("\(store)/partial/\(name)", limit: 1 << 30), to: "\(copy)/partial/\(name)")
        }
        for folder in try FileSystem.entries("\(store)/blobs") where folder.utf8.count == 2 {
            mkdir("\(copy)/blobs/\(folder)", 0o755)
            for name in try FileSystem.entries("\(store)/blobs/\(folder)") {
                link("\(store)/blobs/\(folder)/\(name)", "\(copy)/blobs/\(folder)/\(name)")
            }
        }
        for name in ["store.db", "store.db-wal", "write.lock"] where FileSystem.exists("\(store)/\(name)") {
            try write(try FileSystem.read("\(store)/\(name)", limit: 1 << 30), to: "\(copy)/\(name)")
        }
        return copy
    }

    // MARK: Files

    func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o644) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)
        guard file >= 0 else { throw SequenceFailure("open \(path): \(errno)") }
        defer { close(file) }
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
            throw SequenceFailure("write \(path): \(errno)")
        }
    }

    func writeModel(_ variant: Int, to place: Int) throws {
        try FileSystem.removeTree(self.place(place) + ".away")
        try FileSystem.removeTree(self.place(place))
        for (path, bytes) in try SequenceFiles.model(variant) { try directory.write(bytes, to: "d\(place)/\(path)") }
    }

    /// A file of a directory, by its number.
    func file(_ number: Int, ofPlace place: Int) -> String? {
        let files = TemporaryDirectory.files(below: self.place(place))
        return files.isEmpty ? nil : "\(self.place(place))/\(files[number % files.count])"
    }

    /// The bytes after an edit: weights stay weights.
    static func edited(_ bytes: [UInt8], _ path: String) -> [UInt8] {
        if path.hasSuffix(".json") || path.hasSuffix(".txt") || bytes.isEmpty { return bytes + [0x0A] }
        return bytes.dropLast() + [bytes[bytes.count - 1] ^ 0x5A]
    }
}

/// A sequence that cannot be run, or a rule that does not hold.
struct SequenceFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
