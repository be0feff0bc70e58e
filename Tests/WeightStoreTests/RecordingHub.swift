import Synchronization
import Testing
import WeightStore

/// A hub with one model of one file, which records the ranges that are read.
final class RecordingHub: ModelOrigin {
    let url: String
    let path: String
    let bytes: [UInt8]
    private let ranges = Mutex<[Range<Int>]>([])

    init(_ url: String = "made://hub", path: String, bytes: [UInt8]) {
        self.url = url
        self.path = path
        self.bytes = bytes
    }

    /// The ranges that were read since the last call.
    func reads() -> [Range<Int>] {
        ranges.withLock { ranges in
            defer { ranges = [] }
            return ranges
        }
    }

    var file: RemoteFile {
        RemoteFile(
            model: "org/model", commit: String(repeating: "c", count: 40), path: path, bytes: bytes.count,
            digest: bytes.withUnsafeBytes { ContentDigest(of: $0) }, gitObject: nil)
    }

    func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
        RemoteRevision(model: model, commit: file.commit, files: [file])
    }

    func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws {
        try work.check()
        ranges.withLock { $0.append(offset..<offset + buffer.count) }
        buffer.copyBytes(from: bytes[offset..<offset + buffer.count])
        work.advance(buffer.count)
    }

    func fetch(_ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
        for piece in request.missing {
            let range = piece.fileOffset..<piece.fileOffset + piece.length
            ranges.withLock { $0.append(range) }
            try bytes.withUnsafeBytes { try body(piece.shardOffset, UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
    }
}

extension Store {
    /// A new store that has the description of a hub's model, `org/model`, and none of its shards.
    convenience init(at path: String, unfetchedFrom hub: any ModelOrigin) throws {
        try self.init(at: path, create: true)
        register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        request.selection = FetchSelection.nothing
        #expect(try !pullBlocking(request).complete)
    }
}
