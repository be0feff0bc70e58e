import Files
import Glibc
import Storage
import Support

/// The ranges of a file being written that share their blocks with blobs (reflinks of XFS, Btrfs and others).
///
/// Blobs and the file differ in the positions of their bytes, so only whole blocks of runs that lie equally within a block can be
/// shared. A shared range is read back and compared with the bytes that are written: a blob that was damaged, and fetched
/// again meanwhile, leaves no wrong byte.
struct SharedBlocks {
    /// In the order of the file.
    private var ranges: [Range<Int>] = []
    private let buffer = Buffer(bytes: 1 << 20)

    /// The bytes that the file shares.
    var bytes: Int { ranges.reduce(0) { $0 + $1.count } }

    /// Shares what can be shared; failures are none, because the bytes are then written.
    ///
    /// - Parameters:
    ///   - runs: the stored ones, in the order of the file.
    ///   - fileBytes: the size of the file.
    init(_ runs: [StoredBytes.Run], of fileBytes: Int, in file: StagedFile) {
        let block = file.blockBytes
        guard block > 0 else { return }
        var end = 0
        for run in runs {
            // The catalog may be damaged: the reader of the file reports that.
            guard run.offset >= end else { return }
            end = run.offset.adding(saturating: run.length)
            guard end <= fileBytes, let range = Self.blocks(of: run, fileBytes, block),
                let blob = try? FileDescriptor.blob(run.path, digest: run.digest, bytes: run.blobBytes)
            else { continue }
            switch file.share(range, with: blob, at: run.blobOffset + (range.lowerBound - run.offset)) {
            case .shared: ranges.append(range)
            case .refused: continue
            case .impossible: return
            }
        }
    }

    /// The whole blocks of a run, and the rest of the last one if the blob and the file end there; nil if it has none.
    static func blocks(of run: StoredBytes.Run, _ fileBytes: Int, _ block: Int) -> Range<Int>? {
        guard run.offset % block == run.blobOffset % block else { return nil }
        let end = run.offset.adding(saturating: run.length)
        let isLast = end == fileBytes && run.blobOffset.adding(saturating: run.length) == run.blobBytes
        let first = run.offset.adding(saturating: block - 1) / block * block
        let last = isLast ? end : end / block * block
        return first < last ? first..<last : nil
    }

    /// Writes bytes, but not those that the file has.
    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, to file: StagedFile) throws {
        let end = offset + bytes.count
        func part(_ range: Range<Int>) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound - offset..<range.upperBound - offset])
        }
        var position = offset
        for range in ranges where range.upperBound > position && range.lowerBound < end {
            let shared = range.clamped(to: position..<end)
            if position < shared.lowerBound {
                try file.write(part(position..<shared.lowerBound), at: position, cached: true)
            }
            var start = shared.lowerBound
            while start < shared.upperBound {
                let piece = start..<min(start + buffer.capacity, shared.upperBound)
                if try !hasBytes(part(piece), at: piece, of: file) {
                    try file.write(part(piece), at: start, cached: true)
                    remove(piece)
                }
                start = piece.upperBound
            }
            position = shared.upperBound
        }
        if position < end { try file.write(part(position..<end), at: position, cached: true) }
    }

    private func hasBytes(
        _ bytes: UnsafeRawBufferPointer, at range: Range<Int>, of file: StagedFile
    ) throws(FileError) -> Bool {
        let count = try file.read(at: range.lowerBound, into: buffer.writableBytes(range.count))
        guard count == bytes.count, let mine = buffer.bytes(count).baseAddress, let theirs = bytes.baseAddress else {
            return false
        }
        return memcmp(mine, theirs, count) == 0
    }

    private mutating func remove(_ written: Range<Int>) {
        ranges = ranges.flatMap { range in
            guard range.overlaps(written) else { return [range] }
            return [
                range.lowerBound..<max(range.lowerBound, written.lowerBound),
                min(range.upperBound, written.upperBound)..<range.upperBound,
            ].filter { !$0.isEmpty }
        }
    }
}
