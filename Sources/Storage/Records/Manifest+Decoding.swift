import ModelFormats
import Support

extension Manifest {
    /// Parses a manifest, and checks that its parts fit together: it may come from an origin that is not trusted.
    ///
    /// What holds of the result:
    ///
    /// * Paths are relative, without `.`, `..`, empty components and NUL, shorter than 4096 bytes, and unique; none is a
    ///   directory of another.
    /// * The extents of a file, in order, add up to its bytes, and each lies in its shard. The files have at most
    ///   `maximumFileBytes`, and so have the shards.
    /// * Tensor names are unique in their file and contain no NUL. Each tensor lies in its file. One that is not empty
    ///   begins an extent that holds all of it, and does not overlap another.
    ///
    /// What it says of digests is checked when the bytes are here.
    ///
    /// - Parameters:
    ///   - bytes: the text.
    ///   - path: for the error.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` with the number of the line, and the value.
    package init(decoding bytes: [UInt8], path: String) throws(StorageError) {
        // One check of all lines is cheaper than one of each. If it fails, each line is checked, for its number.
        var parser = Parser(path: path, isText: bytes.isEmpty || String(validating: bytes, as: UTF8.self) != nil)
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
            try parser.parse(rest[..<end])
            rest = rest[end...].dropFirst()
        }
        try parser.finish()
        commit = parser.commit
        files = parser.files
        for index in files.indices { files[index].content.classifyShards() }
    }

    /// The state of the decoder. Fields are split and compared as bytes: a `Character` may join a separator and what
    /// follows it.
    private struct Parser {
        let path: String
        var commit: String?
        var files: [File] = []

        private var number = 0
        private var paths: Set<ByteText> = []
        private var fileBytes = 0
        private var shardBytes = 0
        // The file whose lines are being read; nil before the first.
        private var filePath: String?
        private var content = FileContent(
            digest: .zero, bytes: 0, format: .other, shards: [], extents: [], tensors: [])
        private var part = Part.rule
        private var covered = 0
        /// The lengths of the extents, by their offset in the file.
        private var extents: [Int: Int] = [:]
        private var tensorNames: Set<ByteText> = []
        private var tensorEnd = 0

        /// The lines of a file are in this order.
        private enum Part: Int {
            case rule, shards, extents, tensors
        }

        /// Whether all lines are known to be UTF-8.
        private let isText: Bool

        init(path: String, isText: Bool) {
            self.path = path
            self.isText = isText
        }

        private func malformed(_ reason: String) -> StorageError {
            .invalid(what: "manifest", value: path, reason: "line \(number): \(reason)")
        }

        mutating func parse(_ line: ArraySlice<UInt8>) throws(StorageError) {
            number += 1
            guard isText || String(validating: line, as: UTF8.self) != nil else { throw malformed("not UTF-8") }
            if number == 1 {
                guard line.elementsEqual(Manifest.firstLine.utf8) else {
                    let text = String(decoding: line, as: UTF8.self)
                    throw malformed("\"\(text.prefix(40))\", expected \"\(Manifest.firstLine)\"")
                }
                return
            }
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5, omittingEmptySubsequences: false)
            switch (fields.first.map { String(decoding: $0, as: UTF8.self) } ?? "", fields.count) {
            case ("commit", 2) where filePath == nil && commit == nil: try parseCommit(fields[1])
            case ("file", 5...), ("pending", 5...): try parseFile(fields, line)
            case ("rule", 2) where filePath != nil: try parseRule(fields[1])
            case ("shard", 4) where filePath != nil: try parseShard(fields)
            case ("extent", 4) where filePath != nil: try parseExtent(fields)
            case ("tensor", 6) where filePath != nil: try parseTensor(fields)
            default: throw malformed("unexpected \"\(String(decoding: line, as: UTF8.self).prefix(80))\"")
            }
        }

        /// Checks the last file, and the paths together.
        mutating func finish() throws(StorageError) {
            guard number > 0 else {
                number = 1
                throw malformed("empty, expected \"\(Manifest.firstLine)\"")
            }
            try finishFile()
            for file in files {
                let path = Array(file.path.utf8)
                for index in path.indices where path[index] == UInt8(ascii: "/") {
                    let parent = String(decoding: path[..<index], as: UTF8.self)
                    guard !paths.contains(ByteText(parent)) else {
                        throw malformed("\"\(parent)\" is a file, and a directory of \"\(file.path)\"")
                    }
                }
            }
        }

        private mutating func parseCommit(_ field: ArraySlice<UInt8>) throws(StorageError) {
            let name = String(decoding: field, as: UTF8.self)
            guard CommitName.isValid(name) else {
                throw malformed("commit \"\(name)\", expected 40 lower-case hexadecimal digits")
            }
            commit = name
        }

        private mutating func parseFile(
            _ fields: [ArraySlice<UInt8>], _ line: ArraySlice<UInt8>
        ) throws(StorageError) {
            try finishFile()
            let digest = try digest(fields[1])
            let bytes = try count(fields[2], "bytes of a file")
            guard let format = FileFormat(rawValue: String(decoding: fields[3], as: UTF8.self)) else {
                throw malformed("format \"\(String(decoding: fields[3], as: UTF8.self))\" is not valid")
            }
            let path = Self.unescaped(line[fields[4].startIndex...])
            try check(path)
            guard paths.insert(ByteText(path)).inserted else { throw malformed("\"\(path)\" is listed twice") }
            fileBytes = try sum(fileBytes, bytes, "bytes of all files")
            guard fileBytes <= Manifest.maximumFileBytes else {
                throw malformed("the files have \(fileBytes) bytes, the limit is \(Manifest.maximumFileBytes)")
            }
            (part, covered, extents, tensorNames, tensorEnd) = (.rule, 0, [:], [], 0)
            filePath = path
            content = FileContent(
                digest: digest, bytes: bytes, format: format, shards: [], extents: [], tensors: [],
                isPending: fields[0].elementsEqual("pending".utf8))
        }

        private func check(_ path: String) throws(StorageError) {
            guard RelativePath.isValid(path) else {
                throw malformed(
                    "path \"\(path.prefix(200))\", expected a relative one without \".\", \"..\", empty parts and NUL, "
                        + "shorter than 4096 bytes")
            }
        }

        private mutating func parseRule(_ field: ArraySlice<UInt8>) throws(StorageError) {
            guard part == .rule, content.rule == ShardPlan.firstRule else {
                throw malformed("the rule must be the first line of its file, and only one")
            }
            let rule = try count(field, "number of the cutting rule")
            // The first rule has no line: a manifest has one text.
            guard rule > ShardPlan.firstRule else { throw malformed("rule \(rule), expected 2 or more") }
            // The shards to come of a pending file must be known.
            guard !content.isPending || rule <= ShardPlan.newestRule else {
                throw malformed("rule \(rule) of a pending file, expected at most \(ShardPlan.newestRule)")
            }
            content.rule = rule
        }

        private mutating func parseShard(_ fields: [ArraySlice<UInt8>]) throws(StorageError) {
            try begin(.shards, "shard")
            let digest = try digest(fields[1])
            let bytes = try count(fields[2], "bytes of a shard")
            guard bytes > 0 else { throw malformed("shard \(digest.short) has no bytes") }
            guard let head = Int64(String(decoding: fields[3], as: UTF8.self)) else {
                throw malformed("head \"\(String(decoding: fields[3], as: UTF8.self))\" is not a 64-bit number")
            }
            shardBytes = try sum(shardBytes, bytes, "bytes of all shards")
            guard shardBytes <= Manifest.maximumFileBytes else {
                throw malformed("the shards have \(shardBytes) bytes, the limit is \(Manifest.maximumFileBytes)")
            }
            content.shards.append(
                ShardFacts(digest: digest, bytes: bytes, kind: .file, layer: nil, head: head))
        }

        private mutating func parseExtent(_ fields: [ArraySlice<UInt8>]) throws(StorageError) {
            try begin(.extents, "extent")
            let shard = try count(fields[1], "number of a shard")
            let offset = try count(fields[2], "offset in a shard")
            let length = try count(fields[3], "length of an extent")
            guard content.shards.indices.contains(shard) else {
                throw malformed("the extent names shard \(shard); the file has \(content.shards.count), from 0 on")
            }
            guard length > 0 else { throw malformed("the extent has no bytes") }
            let end = try sum(offset, length, "end of an extent")
            guard end <= content.shards[shard].bytes else {
                throw malformed("the extent ends at \(end), its shard at \(content.shards[shard].bytes)")
            }
            extents[covered] = length
            covered = try sum(covered, length, "bytes of all extents")
            guard covered <= content.bytes else {
                throw malformed("the extents have \(covered) bytes, their file \(content.bytes)")
            }
            content.extents.append(Extent(shard: shard, shardOffset: offset, length: length))
        }

        private mutating func parseTensor(_ fields: [ArraySlice<UInt8>]) throws(StorageError) {
            try begin(.tensors, "tensor")
            let name = Self.unescaped(fields[5])
            let dtype = String(decoding: fields[1], as: UTF8.self)
            var shape: [Int] = []
            if !fields[2].elementsEqual("-".utf8) {
                for size in fields[2].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
                    shape.append(try count(size, "size of a dimension"))
                }
            }
            let offset = try count(fields[3], "offset of a tensor")
            let bytes = try count(fields[4], "bytes of a tensor")
            let end = try sum(offset, bytes, "end of a tensor")
            guard !dtype.isEmpty else { throw malformed("the tensor has no type") }
            guard !name.utf8.contains(0) else { throw malformed("the name of the tensor contains NUL") }
            guard tensorNames.insert(ByteText(name)).inserted else {
                throw malformed("tensor \"\(name)\" is listed twice")
            }
            guard end <= content.bytes else {
                throw malformed("the tensor ends at \(end), its file at \(content.bytes)")
            }
            if bytes > 0 {
                guard offset >= tensorEnd else {
                    throw malformed("the tensor begins at \(offset), before the end of another at \(tensorEnd)")
                }
                if !content.isPending {
                    guard let length = extents[offset] else { throw malformed("no extent begins at \(offset)") }
                    guard bytes <= length else {
                        throw malformed("the tensor has \(bytes) bytes, its extent \(length)")
                    }
                }
                tensorEnd = end
            }
            content.tensors.append(
                TensorInfo(name: name, dtype: dtype, shape: shape, offset: offset, bytes: bytes))
        }

        /// Begins a line of a part of a file; the parts before it are complete.
        private mutating func begin(_ next: Part, _ name: String) throws(StorageError) {
            guard next == .tensors || !content.isPending else {
                throw malformed("\(name) of a pending file")
            }
            guard next.rawValue >= part.rawValue else { throw malformed("\(name) after a later part of the file") }
            if next == .tensors && part != .tensors { try checkCovered() }
            part = next
        }

        private mutating func finishFile() throws(StorageError) {
            guard let filePath else { return }
            if part != .tensors { try checkCovered() }
            files.append(File(path: filePath, content: content))
        }

        private func checkCovered() throws(StorageError) {
            guard content.isPending || covered == content.bytes else {
                throw malformed(
                    "the extents of \"\(filePath ?? "")\" have \(covered) bytes, the file \(content.bytes)")
            }
        }

        // MARK: Fields

        private func digest(_ field: ArraySlice<UInt8>) throws(StorageError) -> ContentDigest {
            if let digest = field.withUnsafeBufferPointer({ ContentDigest(lowerCase: $0) }) { return digest }
            let text = String(decoding: field, as: UTF8.self)
            guard field.count == 2 * ContentDigest.byteCount, let digest = ContentDigest(hex: text) else {
                throw malformed("\"\(text.prefix(80))\", expected a SHA-256 as 64 hexadecimal digits")
            }
            return digest
        }

        /// A number of 0 or more, in decimal digits.
        private func count(_ field: ArraySlice<UInt8>, _ what: String) throws(StorageError) -> Int {
            guard let number = Int(decimal: field) else {
                let text = String(decoding: field.prefix(40), as: UTF8.self)
                throw malformed("\(what): \"\(text)\", expected 0 to \(Int.max)")
            }
            return number
        }

        private func sum(_ left: Int, _ right: Int, _ what: String) throws(StorageError) -> Int {
            let (sum, isOverflow) = left.addingReportingOverflow(right)
            guard !isOverflow else { throw malformed("\(what): \(left) + \(right) exceeds \(Int.max)") }
            return sum
        }

        private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
            let backslash = UInt8(ascii: "\\")
            guard field.contains(backslash) else { return String(decoding: field, as: UTF8.self) }
            var result: [UInt8] = []
            var isEscaped = false
            for byte in field {
                if isEscaped {
                    result.append(
                        byte == UInt8(ascii: "n")
                            ? UInt8(ascii: "\n") : byte == UInt8(ascii: "r") ? UInt8(ascii: "\r") : byte)
                    isEscaped = false
                } else if byte == backslash {
                    isEscaped = true
                } else {
                    result.append(byte)
                }
            }
            return String(decoding: result, as: UTF8.self)
        }
    }
}
