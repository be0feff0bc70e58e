/// A range of a file that one request fetches, and the bytes of shards in it: neighbours in the file are fetched together.
package struct JoinedRange: Sendable {
    /// Bytes of the range that belong to a shard.
    package struct Part: Sendable {
        /// The number of the shard that the bytes belong to.
        package let shard: Int
        /// Its bytes, and their offset in the file.
        package let piece: ShardRequest.Piece

        package init(shard: Int, _ piece: ShardRequest.Piece) {
            self.shard = shard
            self.piece = piece
        }
    }

    /// The offset in the file, in bytes.
    package let offset: Int
    /// The number of bytes, those between the parts too.
    package private(set) var length: Int
    /// In the order of the file.
    package private(set) var parts: [Part]

    /// The offset of a part in the range, in bytes.
    package func offset(of part: Part) -> Int { part.piece.fileOffset - offset }

    /// Joins parts of a file. A part that is larger than a range is cut.
    ///
    /// - Parameters:
    ///   - parts: a part that is not behind the one before it begins a range.
    ///   - limit: the most bytes of a range.
    ///   - gap: the most bytes between two parts of a range, which are fetched and not used.
    package static func join(_ parts: some Sequence<Part>, atMost limit: Int, gap: Int = 0) -> [JoinedRange] {
        var ranges: [JoinedRange] = []
        for part in parts {
            var done = 0
            while done < part.piece.length {
                let offset = part.piece.fileOffset + done
                let end = ranges.last.map { $0.offset + $0.length }
                if let end, let last = ranges.indices.last, offset >= end, offset - end <= gap,
                    offset - ranges[last].offset < limit
                {
                    let length = min(part.piece.length - done, limit - (offset - ranges[last].offset))
                    ranges[last].parts.append(part.cut(done, length))
                    ranges[last].length = offset - ranges[last].offset + length
                    done += length
                } else {
                    let length = min(part.piece.length - done, limit)
                    ranges.append(JoinedRange(offset: offset, length: length, parts: [part.cut(done, length)]))
                    done += length
                }
            }
        }
        return ranges
    }
}

extension JoinedRange.Part {
    fileprivate func cut(_ start: Int, _ length: Int) -> Self {
        .init(
            shard: shard,
            .init(fileOffset: piece.fileOffset + start, shardOffset: piece.shardOffset + start, length: length))
    }
}
