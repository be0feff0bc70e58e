import Files
import Foundation
import Glibc
import Support
import Synchronization
import TestSupport
import Testing
import WeightStore

/// `weightstore mount`, as a user runs it, on the real kernel.
@Suite(.blockingInTurn, .serialized, .enabled(if: MountProcess.isPossible, Comment(rawValue: MountProcess.needs)))
struct MountTests {
    private let directory = try! TemporaryDirectory()
    private let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 3).write(to: directory("model"), files: 2)
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
    }

    private func mount(_ arguments: String..., store: String? = nil) throws -> MountProcess {
        try MountProcess(
            store ?? tool.store, at: directory("mnt-\(UInt32.random(in: 0 ... .max))"), arguments,
            log: directory.write("", to: "log-\(UInt32.random(in: 0 ... .max))"))
    }

    /// Requires that a mounted directory has the files of another one, and no others.
    private func expectEqual(_ mounted: String, _ original: String) throws {
        let names = TemporaryDirectory.files(below: original)
        #expect(TemporaryDirectory.files(below: mounted) == names)
        for name in names {
            let isEqual = try contents("\(mounted)/\(name)") == contents("\(original)/\(name)")
            #expect(isEqual, "\(name)")
        }
    }

    private func commit() throws -> String {
        let shown = try tool("show", "org/model", "--json").output
        let match = try #require(shown.firstMatch(of: #/"commit"\s*:\s*"([0-9a-f]{40})"/#))
        return String(match.1)
    }

    private func status(_ path: String) -> Int32 {
        var facts = stat()
        return stat(path, &facts) == 0 ? 0 : errno
    }

    @Test("every file is equal under its ref, its commit, its version and an escaped ref")
    func names() throws {
        #expect(try tool("tag", "org/model", "rel/1.0").status == 0)
        #expect(try tool("import", directory("model"), "--name", "plain").status == 0)
        let mount = try mount()
        for name in try [
            "org/model/main", "org/model/@\(commit())", "org/model/@~1", "org/model/rel%2F1.0", "_/plain/main",
        ] {
            try expectEqual(mount(name), directory("model"))
        }
        for name in ["org/none", "none", "org/model/none", "org/model/@main", "org/model/main/none", ".hidden"] {
            #expect(status(mount(name)) == ENOENT, "\(name)")
        }
        let entries = try FileManager.default.contentsOfDirectory(atPath: mount("org/model"))
        #expect(try Set(entries) == ["main", "rel%2F1.0", "@\(commit())"])
        mount.end()
        #expect(mount.logText == "")
    }

    @Test("a ref of an older version whose name git refuses has a directory")
    func oldRef() throws {
        let store = try Store(at: tool.store)
        try store.setRefs(["a..b/.x": store.revision("org/model").digest], of: "org/model")
        let mount = try mount()
        try expectEqual(mount("org/model/a..b%2F.x"), directory("model"))
        let entries = try FileManager.default.contentsOfDirectory(atPath: mount("org/model"))
        #expect(entries.contains("a..b%2F.x"))
        mount.end()
    }

    @Test("one revision is mounted at the top of the directory, and only the named models are shown")
    func selection() throws {
        #expect(try tool("import", directory("model"), "--name", "other/model").status == 0)
        let one = try mount("--model", "org/model@main")
        try expectEqual(one.path, directory("model"))
        one.end()
        let some = try mount("org/*")
        #expect(try FileManager.default.contentsOfDirectory(atPath: some.path) == ["org"])
        #expect(status(some("other")) == ENOENT)
    }

    @Test("random reads and a mapping agree with the file, and nothing can be written")
    func reads() throws {
        let mount = try mount()
        let name = try #require(
            TemporaryDirectory.files(below: directory("model")).first { $0.hasSuffix("safetensors") })
        let expected = try contents(directory("model/\(name)"))
        let path = mount("org/model/main/\(name)")
        #expect(open(path, O_RDWR) == -1 && errno == EROFS)
        let file = open(path, O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 2 << 20)
        var random = SystemRandomNumberGenerator()
        for round in 0..<300 {
            if round % 50 == 0 { _ = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) }
            let offset = Int.random(in: 0..<expected.count + 4096, using: &random)
            let count = [1, 7, 4096, 70_000, 2 << 20].randomElement(using: &random)!
            let got = pread(file, &buffer, count, off_t(offset))
            let rest = min(count, max(expected.count - offset, 0))
            // A debug build takes long to compare arrays.
            let isEqual = expected.withUnsafeBytes { rest == 0 || memcmp($0.baseAddress! + offset, buffer, rest) == 0 }
            #expect(got == rest && isEqual, "\(count) bytes at \(offset)")
        }
        _ = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED)
        let memory = try #require(mmap(nil, expected.count, PROT_READ, MAP_SHARED, file, 0))
        try #require(memory != MAP_FAILED)
        let isEqual = memcmp(memory, expected, expected.count) == 0
        #expect(isEqual)
        munmap(memory, expected.count)
    }

    @Test("extended attributes name the file's SHA-256, the manifest and the commit")
    func extendedAttributes() throws {
        let mount = try mount()
        // Swift's Glibc lacks it.
        typealias Function =
            @convention(c) (
                UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafeMutableRawPointer, Int
            ) -> Int
        let getxattr = unsafeBitCast(try #require(dlsym(nil, "getxattr")), to: Function.self)
        func attribute(_ name: String, _ path: String) -> String? {
            var value = [UInt8](repeating: 0, count: 256)
            let count = getxattr(mount(path), "user.weightstore.\(name)", &value, value.count)
            return count < 0 ? nil : String(decoding: value.prefix(count), as: UTF8.self)
        }
        let file = "org/model/main/config.json"
        #expect(try attribute("commit", file) == commit())
        let sum = try ChildProcess.check("sha256sum", directory("model/config.json"))
        #expect(attribute("sha256", file) == String(sum.prefix(64)))
        #expect(attribute("digest", file)?.count == 64)
        #expect(attribute("digest", "org/model/main") == attribute("digest", file))
        #expect(attribute("none", file) == nil)
        #expect(attribute("digest", "org") == nil)
    }

    @Test("a revision is in use while a file of it is open, and can be removed afterwards")
    func holds() throws {
        let mount = try mount()
        let file = open(mount("org/model/main/config.json"), O_RDONLY)
        try #require(file >= 0)
        let refused = try tool("rm", "org/model")
        #expect(refused.status == 4)
        #expect(refused.errors.contains("weightstore mount"), "\(refused.errors)")
        close(file)
        // The kernel reports the close to the server after the call.
        let isRemoved = try blockUntil { try tool("rm", "org/model").status == 0 }
        #expect(isRemoved)
        let isGone = try blockUntil { status(mount("org/model/main/config.json")) == ENOENT }
        #expect(isGone)
    }

    @Test("a file that is open keeps its revision when the ref moves, and the next open sees the new one")
    func movingRef() throws {
        let mount = try mount()
        let path = mount("org/model/main/config.json")
        let old = try contents(directory("model/config.json"))
        #expect(try contents(path) == old)
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        try directory.write("{\"model_type\": \"another\"}\n", to: "model/config.json")
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
        #expect(try contents(path) == Array("{\"model_type\": \"another\"}\n".utf8))
        #expect(try file.readToEnd().map { Array($0) } == old)
        #expect(try contents(mount("org/model/@~1/config.json")) == old)
    }

    @Test("SIGTERM unmounts, also while a file is open, and a mount whose server was killed is replaced")
    func ends() throws {
        let mount = try mount()
        let file = open(mount("org/model/main/config.json"), O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        mount.process.signal(SIGTERM)
        #expect(mount.process.wait() == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: mount.path).isEmpty)

        let killed = try self.mount()
        killed.process.end(SIGKILL)
        #expect(status(killed.path) == ENOTCONN)
        let next = try MountProcess(tool.store, at: killed.path, [], log: directory("log-next"))
        try expectEqual(next("org/model/main"), directory("model"))
        let second = try tool("mount", next.path)
        #expect(second.status == 1)
        #expect(second.errors.contains("a store is mounted there"), "\(second.errors)")
        // The user's umount ends the process, too.
        try ChildProcess.check(geteuid() == 0 ? "umount" : "fusermount3", geteuid() == 0 ? "-v" : "-u", next.path)
        #expect(next.process.wait() == 0)
    }

    @Test("an empty store shows the models of its upstream, fetches what is read, and again after an eviction")
    func upstream() throws {
        let server = try ServeProcess(tool.store, log: directory("serve-log"))
        let empty = Tool(store: directory("empty"))
        let mount = try mount("--upstream", server.url, store: empty.store)
        #expect(status(mount("org/none/main/config.json")) == ENOENT)
        try expectEqual(mount("org/model/main"), directory("model"))
        mount.end()
        let evict = { try empty("evict", "--down-to", "0").status }
        #expect(try evict() == 0)
        let again = try self.mount(store: empty.store)
        try expectEqual(again("org/model/main"), directory("model"))
        again.end()

        #expect(try evict() == 0)
        server.end()
        let absent = try self.mount("--timeout", "1s", store: empty.store)
        // Its list needs no bytes.
        let names = TemporaryDirectory.files(below: absent("org/model/main"))
        #expect(names == TemporaryDirectory.files(below: directory("model")))
        let path = absent("org/model/main/" + (try #require(names.first { $0.hasSuffix("safetensors") })))
        let file = open(path, O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        var byte: UInt8 = 0
        #expect(read(file, &byte, 1) == -1 && errno == EIO)
        #expect(absent.logText.contains("org/model"), "\(absent.logText)")
    }

    @Test("what follows an absent shard is fetched after it, not beside it")
    func order() throws {
        var model = TestModel(layers: 0)
        model.tensors = [.init(name: "model.layers.0.large.weight", dtype: "U8", shape: [24 << 20])]
        model.tensors += (0..<4).map { .init(name: "model.layers.1.\($0).weight", dtype: "U8", shape: [2 << 20]) }
        try model.write(to: directory("large"))
        #expect(try tool("import", directory("large"), "--name", "org/large").status == 0)
        let server = try ServeProcess(tool.store, log: directory("serve-log"))
        let blobs = directory("empty/blobs")
        let mount = try mount("--upstream", server.url, store: directory("empty"))
        let file = open(mount("org/large/main/model.safetensors"), O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        // Without the kernel's read-ahead, whose requests are reads of the file.
        try #require(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        #expect(pread(file, &buffer, buffer.count, 4 << 20) == buffer.count)
        func written(_ bytes: Int) -> [timespec] {
            TemporaryDirectory.files(below: blobs).compactMap { name in
                var facts = stat()
                guard stat("\(blobs)/\(name)", &facts) == 0, facts.st_size == bytes else { return nil }
                return facts.st_mtim
            }
        }
        try #require(try blockUntil { !written(2 << 20).isEmpty }, "nothing is read ahead")
        let first = try #require(written(24 << 20).first)
        for next in written(2 << 20) {
            let isLater = (first.tv_sec, first.tv_nsec) <= (next.tv_sec, next.tv_nsec)
            #expect(isLater, "written at \(next), before \(first)")
        }
    }

    @Test("nothing is fetched ahead while a read of the file waits for an absent shard")
    func turns() throws {
        var model = TestModel(layers: 0)
        model.tensors = (0..<4).map { .init(name: "model.layers.0.\($0).weight", dtype: "U8", shape: [2 << 20]) }
        model.tensors.append(.init(name: "model.layers.1.large.weight", dtype: "U8", shape: [24 << 20]))
        try model.write(to: directory("large"))
        #expect(try tool("import", directory("large"), "--name", "org/large").status == 0)
        let server = try ServeProcess(tool.store, log: directory("serve-log"))
        let gate = try RangeGate(to: server.port, holding: 12 << 20..<64 << 20, in: directory)
        let mount = try mount("--upstream", gate.url, store: directory("empty"))
        @Sendable func read(at offset: Int) throws -> Int {
            let file = open(mount("org/large/main/model.safetensors"), O_RDONLY)
            try #require(file >= 0)
            defer { close(file) }
            try #require(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0)
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            return pread(file, &buffer, buffer.count, off_t(offset))
        }
        let count = Mutex(0)
        let end = DispatchSemaphore(value: 0)
        try startThread {
            let found = (try? read(at: 16 << 20)) ?? -1
            count.withLock { $0 = found }
            end.signal()
        }
        try #require(try blockUntil { try gate.ranges().contains { $0.lowerBound >= 12 << 20 } })
        // The bytes behind this read are read ahead, and were fetched at once.
        #expect(try read(at: 0) == 1 << 20)
        sleep(1)
        let before = try gate.ranges()
        try gate.open()
        try #require(end.wait(timeout: .now() + 300) == .success, "the read does not end")
        #expect(count.withLock { $0 } == 1 << 20)
        let next = 4 << 20..<6 << 20
        #expect(try blockUntil { try gate.ranges().contains { $0.overlaps(next) } }, "nothing is read ahead")
        #expect(!before.contains { $0.overlaps(next) }, "\(before)")
    }

    /// A read on a thread of its own.
    private final class Read: Sendable {
        private let bytes = Mutex<[UInt8]?>(nil)
        private let end = DispatchSemaphore(value: 0)

        init(_ file: Int32, at offset: Int, count: Int) throws {
            try startThread { [self] in
                var buffer = [UInt8](repeating: 0, count: count)
                let got = pread(file, &buffer, count, off_t(offset))
                bytes.withLock { [buffer] in $0 = got < 0 ? [] : Array(buffer.prefix(got)) }
                end.signal()
            }
        }

        /// The bytes, empty after an error; nil if the read does not end in time.
        func result(within seconds: Int = 300) -> [UInt8]? {
            end.wait(timeout: .now() + .seconds(seconds)) == .success ? bytes.withLock { $0 } : nil
        }
    }

    /// A model of three tensors of 2 MiB, which is read through a mount of an empty store with an upstream.
    private struct Upstream {
        static let count = 64 << 10
        let expected: [UInt8]
        let server: ServeProcess
        let empty: Tool

        var stored: Int { TemporaryDirectory.files(below: empty.store + "/blobs").count }

        func bytes(_ offset: Int) -> [UInt8] { Array(expected[offset..<offset + Self.count]) }

        /// Keeps all changes of the catalog from being committed until the descriptor is closed.
        func lock() throws -> Int32 {
            let lock = open(empty.store + "/write.lock", O_RDWR)
            try #require(lock >= 0 && flock(lock, LOCK_EX) == 0)
            return lock
        }
    }

    private func upstreamOfLarge() throws -> Upstream {
        var model = TestModel(layers: 0)
        model.tensors = (0..<3).map { .init(name: "model.layers.\($0).weight", dtype: "U8", shape: [2 << 20]) }
        try model.write(to: directory("large"))
        #expect(try tool("import", directory("large"), "--name", "org/large").status == 0)
        return try Upstream(
            expected: contents(directory("large/model.safetensors")),
            server: ServeProcess(tool.store, log: directory("serve-log")), empty: Tool(store: directory("empty")))
    }

    /// Opens the model's file without the kernel's read-ahead, and reads the pages at its front: they are in the shard of the
    /// header and in the first tensor.
    private func opened(_ mount: MountProcess, _ upstream: Upstream) throws -> Int32 {
        let file = open(mount("org/large/main/model.safetensors"), O_RDONLY)
        try #require(file >= 0 && posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0)
        let front = try Read(file, at: 0, count: Upstream.count).result()
        #expect(front == upstream.bytes(0))
        return file
    }

    @Test(
        "bytes that have arrived are read before they are stored, unless they complete a file, whose digest is checked first",
        .enabled(if: FileSystem.recordsFailedWrites("/tmp"), "the file system of /tmp may not record failed writes"))
    func arrived() throws {
        let upstream = try upstreamOfLarge()
        func whileLocked(_ body: (_ file: Int32, _ unlock: () -> Void) throws -> Void) throws {
            let mount = try mount("--upstream", upstream.server.url, store: upstream.empty.store)
            let file = try opened(mount, upstream)
            let lock = try upstream.lock()
            try body(file) { close(lock) }
            close(file)
            try expectEqual(mount("org/large/main"), directory("large"))
            mount.end()
        }
        try whileLocked { file, unlock in
            let before = upstream.stored
            // Reads that begin before the bytes arrive, and later ones.
            let reads = try [3 << 20, 3 << 20 + Upstream.count].map { offset in
                (offset, try Read(file, at: offset, count: Upstream.count))
            }
            for (offset, read) in reads { #expect(read.result() == upstream.bytes(offset), "at \(offset)") }
            let later = try Read(file, at: 2 << 20 + 2 * Upstream.count, count: Upstream.count).result()
            #expect(later == upstream.bytes(2 << 20 + 2 * Upstream.count))
            #expect(upstream.stored == before)
            let last = try Read(file, at: 5 << 20, count: Upstream.count)
            #expect(last.result(within: 2) == nil)
            unlock()
            #expect(last.result() == upstream.bytes(5 << 20))
            let isStored = try blockUntil { upstream.stored == before + 2 }
            #expect(isStored)
        }
        #expect(try upstream.empty("verify").status == 0)

        // An evicted shard has a digest of its own.
        #expect(try upstream.empty("evict", "--down-to", "0").status == 0)
        try whileLocked { file, unlock in
            let before = upstream.stored
            for offset in [3 << 20, 5 << 20] {
                let read = try Read(file, at: offset, count: Upstream.count).result()
                #expect(read == upstream.bytes(offset), "at \(offset)")
            }
            #expect(upstream.stored == before)
            unlock()
            let isStored = try blockUntil { upstream.stored == before + 2 }
            #expect(isStored)
        }
        #expect(try upstream.empty("verify").status == 0)
    }

    /// The blob of a tensor, below `blobs`.
    private func blob(ofTensor number: Int, _ upstream: Upstream) throws -> String {
        let blobs = tool.store + "/blobs"
        let tensor = upstream.expected.dropFirst(upstream.expected.count - (3 - number) * 2 << 20).prefix(2 << 20)
        return try #require(
            TemporaryDirectory.files(below: blobs).first { name in
                try contents("\(blobs)/\(name)").elementsEqual(tensor)
            })
    }

    @Test("the last shard of a file whose digest is wrong is not read")
    func wrongDigest() throws {
        let upstream = try upstreamOfLarge()
        let damaged = try "\(tool.store)/blobs/\(blob(ofTensor: 1, upstream))"
        #expect(chmod(damaged, 0o644) == 0)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: damaged))
        try handle.write(contentsOf: [upstream.expected[upstream.expected.count - 4 << 20] ^ 1])
        try handle.close()
        let mount = try mount("--upstream", upstream.server.url, store: upstream.empty.store)
        let file = try opened(mount, upstream)
        defer { close(file) }
        let middle = try Read(file, at: 3 << 20, count: Upstream.count).result()
        #expect(middle == upstream.bytes(3 << 20))
        let last = try Read(file, at: 5 << 20, count: Upstream.count).result()
        #expect(last == [])
        #expect(mount.logText.contains("SHA-256"), "\(mount.logText)")
    }

    @Test(
        "after bytes that were read could not be stored, others are read when they are stored",
        .enabled(if: FileSystem.recordsFailedWrites("/tmp"), "the file system of /tmp may not record failed writes"))
    func notStored() throws {
        let upstream = try upstreamOfLarge()
        let mount = try mount("--upstream", upstream.server.url, store: upstream.empty.store)
        let file = try opened(mount, upstream)
        defer { close(file) }
        // In place of the blob's directory.
        let place = try "\(upstream.empty.store)/blobs/\(blob(ofTensor: 1, upstream).prefix(2))"
        try? FileManager.default.removeItem(atPath: place)
        try Data().write(to: URL(fileURLWithPath: place))
        let first = try Read(file, at: 3 << 20, count: Upstream.count).result()
        #expect(first == upstream.bytes(3 << 20))
        let isReported = try blockUntil { mount.logText.contains("was answered, but could not be stored") }
        #expect(isReported, "\(mount.logText)")
        let lock = try upstream.lock()
        let second = try Read(file, at: 5 << 20, count: Upstream.count)
        #expect(second.result(within: 2) == nil)
        close(lock)
        #expect(second.result() == upstream.bytes(5 << 20))
    }

    @Test("a removed blob without an origin is an error of the read, with its name in the log")
    func damage() throws {
        let mount = try mount()
        let blobs = directory("store/blobs")
        let config = try contents(directory("model/config.json"))
        for name in TemporaryDirectory.files(below: blobs) where try contents("\(blobs)/\(name)") == config {
            try FileManager.default.removeItem(atPath: "\(blobs)/\(name)")
        }
        let file = open(mount("org/model/main/config.json"), O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        var byte: UInt8 = 0
        #expect(read(file, &byte, 1) == -1 && errno == EIO)
        #expect(mount.logText.contains("config.json"), "\(mount.logText)")
    }

    @Test("--detach returns when the directory is mounted, and mount.weightstore has the arguments of mount(8)")
    func detached() throws {
        let target = directory("mnt")
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        let unmount = {
            _ = try ChildProcess.check(geteuid() == 0 ? "umount" : "fusermount3", geteuid() == 0 ? "-v" : "-u", target)
        }
        #expect(try tool("mount", target, "--detach", "--log", directory("log")).output == target + "\n")
        try expectEqual("\(target)/org/model/main", directory("model"))
        try unmount()

        let helper = directory("mount.weightstore")
        try FileManager.default.createSymbolicLink(atPath: helper, withDestinationPath: Tool.path)
        let options = "rw,nofail,x-systemd.automount,revision=org/model@main"
        #expect(try ChildProcess.run([helper, tool.store, target, "-o", options]).status == 0)
        try expectEqual(target, directory("model"))
        try unmount()
        let wrong = try ChildProcess.run([helper, tool.store, target, "-o", "colour=red"])
        #expect(wrong.status == 64)
        #expect(wrong.errors.contains("colour=red"), "\(wrong.errors)")
        #expect(try tool("mount", directory("model/config.json")).errors.contains("not a directory"))
        #expect(try tool("mount", target, "none/*").status == 2)
    }
}

/// A mount in a process of its own, which ends with the value.
private final class MountProcess: Sendable {
    static let needs = "FUSE is needed: /dev/fuse, and root with the right to mount, or fusermount3"

    static let isPossible: Bool = {
        guard access("/dev/fuse", R_OK | W_OK) == 0 else { return false }
        let probe = geteuid() == 0 ? ["unshare", "-m", "true"] : ["fusermount3", "--version"]
        return (try? ChildProcess.run(probe).status) == 0
    }()

    let path: String
    let process: ChildProcess
    private let log: String

    init(_ store: String, at path: String, _ arguments: [String], log: String) throws {
        self.path = path
        self.log = log
        // A mount whose server was killed exists, but has no status.
        if mkdir(path, 0o755) != 0, errno != EEXIST { throw CocoaError(.fileWriteUnknown) }
        process = try ChildProcess(
            [Tool.path, "mount", path, "--store", store] + arguments, output: .lines, errors: .file(log))
        _ = try process.line()
    }

    deinit { end() }

    /// A path in the mounted directory.
    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    var logText: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    func end() { process.end() }
}
