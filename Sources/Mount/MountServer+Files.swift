import CFUSE
import Glibc
import Support
import WeightStore

/// Requests for the bytes of files.
extension MountServer {
    func open(_ request: FUSERequest, _ reply: FUSEReply) {
        guard case .file(let file)? = nodes.node(request.node) else { return reply.fail(ESTALE) }
        guard let argument = request.argument(fuse_open_in.self) else { return reply.fail(EINVAL) }
        guard Int32(bitPattern: argument.flags) & O_ACCMODE == O_RDONLY else { return reply.fail(EROFS) }
        // The first use of a revision waits while another process removes models.
        answerLater(reply, "\(file.revision.name) \(file.path)", on: .lock) { [self] work in
            // The kernel looks the name up again.
            guard let handle = try files.open(file, work) else { return reply.fail(ESTALE) }
            var result = fuse_open_out()
            result.fh = handle
            // The bytes of a node never change.
            result.open_flags = UInt32(FOPEN_KEEP_CACHE)
            reply.send(result)
        }
    }

    func release(_ request: FUSERequest, _ reply: FUSEReply) {
        guard let argument = request.argument(fuse_release_in.self) else { return reply.fail(EINVAL) }
        // The end of the last use of a revision writes the lease file.
        answerLater(reply, "a file", on: .lock) { [files] _ in
            files.close(argument.fh)
            reply.succeed()
        }
    }

    /// - Parameter data: memory of the calling thread, of the largest request.
    func read(_ request: FUSERequest, _ reply: FUSEReply, _ data: Buffer) {
        guard let argument = request.argument(fuse_read_in.self), let handle = files.handle(argument.fh) else {
            return reply.fail(EBADF)
        }
        let file = handle.file
        let start = min(Int(clamping: argument.offset), file.entry.bytes)
        let range = start..<min(start + min(Int(argument.size), data.capacity), file.entry.bytes)
        if range.isEmpty { return reply.succeed() }
        let ahead = handle.advance(range)
        var lost: StorageError?
        do {
            if try file.read(range, into: data.writableBytes(range.count)) {
                if let ahead { readAhead(ahead, of: handle) }
                return reply.send(data.bytes(range.count))
            }
        } catch let error as StorageError where error.lostBlob != nil {
            lost = error
        } catch {
            return fail(reply, error, file.name)
        }
        // Logged with the read that has failed.
        if file.hasFailed { return reply.fail(EIO) }
        answerLater(reply, "\(file.name), bytes from \(range.lowerBound)", for: file) { [self, lost] work in
            try file.fetch(range, after: lost, work) { [self] bytes in
                let buffer = Buffer(bytes: range.count)
                guard try bytes(buffer.writableBytes(range.count)) else { return false }
                if pending.remove(reply.unique) { reply.send(buffer.bytes(range.count)) }
                return true
            }
            // Only when they are stored: reading ahead fetches what follows, which would delay them.
            if let ahead { readAhead(ahead, of: handle) }
        }
    }
}
