import CFUSE
import Files
import Glibc
import Support
import WeightStore

/// Requests for names, directories and attributes.
extension MountServer {
    // MARK: Lookups

    func lookUp(_ request: FUSERequest, _ reply: FUSEReply) {
        guard let directory = nodes.node(request.node) else { return reply.fail(ESTALE) }
        guard let name = request.name() else { return reply.fail(ENOENT) }
        do {
            if let upstream, let revision = try revision(name, in: directory), try upstream.isDue(revision) {
                return answerLater(reply, revision.text) { [self] work in
                    upstream.revalidate(revision, work)
                    try answer(name, in: directory, reply, work)
                }
            }
            answer(try tree.find(name, in: directory), in: directory, reply)
        } catch StorageError.notFound {
            guard upstream != nil, RelativePath.isValid(name) else { return reply.fail(ENOENT) }
            answerLater(reply, name) { [self] work in try answer(name, in: directory, reply, work) }
        } catch {
            fail(reply, error, name)
        }
    }

    /// Answers a lookup for which the upstream may be needed.
    private func answer(_ name: String, in directory: MountNode, _ reply: FUSEReply, _ work: Work) throws {
        do {
            return answer(try tree.find(name, in: directory), in: directory, reply)
        } catch StorageError.notFound {
            guard let upstream, let revision = try revision(name, in: directory) else { throw HubMissing.error(name) }
            switch directory {
            case .model:
                guard try upstream.pull(revision, work) else { throw HubMissing.error(name) }
            case .revision, .folder:
                // The directory of a revision that was mounted before it was pulled.
                let isKnown = (try? store.identity(of: revision.text)) != nil
                let isFuller =
                    try isKnown ? upstream.complete(revision, work) : upstream.pull(revision, work)
                guard isFuller else { throw HubMissing.error(name) }
            default: throw HubMissing.error(name)
            }
        }
        answer(try tree.find(name, in: directory), in: directory, reply)
    }

    private enum HubMissing {
        static func error(_ name: String) -> StorageError { .notFound(kind: "file", name: name) }
    }

    /// The revision on which a lookup depends; nil if it depends on none.
    private func revision(_ name: String, in directory: MountNode) throws -> MountNode.RevisionDirectory? {
        switch directory {
        case .model(let model): MountTree.revision(name, of: model)
        case .revision(let revision): revision
        case .folder(let folder): folder.parent
        case .root, .organisation, .file: nil
        }
    }

    private func answer(_ node: MountNode, in directory: MountNode, _ reply: FUSEReply) {
        reply.send(attributes.entry(node, nodes.lookUp(node), in: directory))
    }

    func getAttributes(_ request: FUSERequest, _ reply: FUSEReply) {
        guard let node = nodes.node(request.node) else { return reply.fail(ESTALE) }
        reply.send(attributes.reply(node, request.node))
    }

    // MARK: Directories

    func openDirectory(_ request: FUSERequest, _ reply: FUSEReply) {
        guard let node = nodes.node(request.node) else { return reply.fail(ESTALE) }
        guard node.isDirectory else { return reply.fail(ENOTDIR) }
        do {
            if let upstream, case .revision(let revision) = node, upstream.mayComplete(revision) || isAbsent(revision) {
                return answerLater(reply, revision.text) { [self] work in
                    try list(revision, from: upstream, work)
                    sendHandle(of: node, try tree.entries(of: node), reply)
                }
            }
            sendHandle(of: node, try tree.entries(of: node), reply)
        } catch {
            fail(reply, error, "a directory")
        }
    }

    private func isAbsent(_ revision: MountNode.RevisionDirectory) -> Bool {
        // Any other failure is reported by the listing itself.
        do { _ = try store.identity(of: revision.text) } catch StorageError.notFound { return true } catch {}
        return false
    }

    /// Adds what the store lacks of a revision that is listed. If the upstream fails, what the store has is listed.
    private func list(_ revision: MountNode.RevisionDirectory, from upstream: Upstream, _ work: Work) throws {
        do {
            _ = try isAbsent(revision) ? upstream.pull(revision, work) : upstream.complete(revision, work)
        } catch let error as FetchError {
            if isAbsent(revision) { throw error }
            logger.warning("\(revision.text): the list may lack files: \(error)")
        }
    }

    private func sendHandle(of node: MountNode, _ entries: [MountTree.Entry], _ reply: FUSEReply) {
        var result = fuse_open_out()
        result.fh = directories.open(node, entries)
        reply.send(result)
    }

    /// Sends the entries from an offset: 0 and 1 are `.` and `..`, the others follow.
    func readDirectory(_ request: FUSERequest, _ reply: FUSEReply, withAttributes: Bool) {
        guard let argument = request.argument(fuse_read_in.self), let directory = directories.directory(argument.fh)
        else { return reply.fail(EBADF) }
        var list = DirectoryReply(capacity: min(Int(argument.size), 1 << 20))
        var index = Int(clamping: argument.offset)
        while index < directory.entries.count + 2 {
            defer { index += 1 }
            let next = UInt64(index + 1)
            if index < 2 {
                guard list.append(index == 0 ? "." : "..", isDirectory: true, next, withAttributes: withAttributes)
                else {
                    break
                }
                continue
            }
            let entry = directory.entries[index - 2]
            if !withAttributes {
                guard list.append(entry.name, isDirectory: entry.node.isDirectory, next, withAttributes: false) else {
                    break
                }
                continue
            }
            guard list.hasSpace(for: entry.name, withAttributes: true) else { break }
            // The kernel counts this as a lookup.
            let number = nodes.lookUp(entry.node)
            list.append(
                entry.name, isDirectory: entry.node.isDirectory, next,
                attributes.entry(entry.node, number, in: directory.node))
        }
        reply.send(list.bytes)
    }

    // MARK: Facts

    func reportSpace(_ reply: FUSEReply) {
        var facts = statvfs()
        guard statvfs(store.path, &facts) == 0 else { return reply.fail(errno) }
        var result = fuse_statfs_out()
        result.st.bsize = UInt32(clamping: facts.f_bsize)
        result.st.frsize = UInt32(clamping: facts.f_frsize)
        result.st.blocks = UInt64(facts.f_blocks)
        result.st.bfree = UInt64(facts.f_bfree)
        result.st.bavail = UInt64(facts.f_bavail)
        result.st.namelen = 255
        reply.send(result)
    }

    func getExtendedAttribute(_ request: FUSERequest, _ reply: FUSEReply) {
        guard let node = nodes.node(request.node) else { return reply.fail(ESTALE) }
        guard let argument = request.argument(fuse_getxattr_in.self) else { return reply.fail(EINVAL) }
        do {
            guard let name = request.name(at: MemoryLayout<fuse_getxattr_in>.size),
                let value = try ExtendedAttributes.value(name, of: node, in: tree)
            else { return reply.fail(ENODATA) }
            send(Array(value.utf8), upTo: argument.size, reply)
        } catch {
            fail(reply, error, "an extended attribute")
        }
    }

    func listExtendedAttributes(_ request: FUSERequest, _ reply: FUSEReply) {
        guard let node = nodes.node(request.node) else { return reply.fail(ESTALE) }
        guard let argument = request.argument(fuse_getxattr_in.self) else { return reply.fail(EINVAL) }
        send(ExtendedAttributes.names(of: node), upTo: argument.size, reply)
    }

    /// Sends a value, or its size if the caller has no buffer yet.
    private func send(_ value: [UInt8], upTo size: UInt32, _ reply: FUSEReply) {
        if size == 0 {
            var result = fuse_getxattr_out()
            result.size = UInt32(value.count)
            return reply.send(result)
        }
        guard value.count <= Int(size) else { return reply.fail(ERANGE) }
        reply.send(value)
    }
}
