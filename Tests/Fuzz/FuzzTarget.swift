import Foundation
import ModelFormats
import Storage
import Support
import WeightStore
import WireFormats

/// A parser of input from outside. It must not trap on any bytes, and accepted input must be valid.
enum FuzzTarget: String, CaseIterable {
    case names, refs, urls, proxies, mounts, sizes, durations, ranges, routes, safetensors, gguf, index, manifests,
        records, listings

    /// Passes the bytes to the parser, and traps if accepted input is not valid.
    func run(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        switch self {
        case .names: Self.names(text)
        case .refs: Self.refs(text)
        case .urls: Self.urls(text)
        case .proxies: Self.proxies(text)
        case .mounts: Self.mounts(text)
        case .sizes: if let size = Quantity.parseBytes(text) { require(size >= 0) }
        case .durations:
            if let seconds = Quantity.parseSeconds(text) { require(0...Quantity.mostDays * 86_400 ~= seconds) }
        case .ranges: Self.ranges(text)
        case .routes: Self.routes(text)
        case .safetensors: Self.layout(bytes, .safetensors)
        case .gguf:
            Self.layout(bytes, .gguf)
            Self.metadata(bytes)
        case .index: Self.index(bytes)
        case .manifests: Self.manifests(bytes)
        case .records: Self.records(bytes)
        case .listings: Self.listings(bytes)
        }
    }

    // MARK: Text

    private static func names(_ text: String) {
        if let name = try? ModelName.check(text) {
            require(name.isASCIIWord(and: "._-/") && RelativePath.isValid(name))
        }
        if RelativePath.isValid(text) {
            require(!text.isEmpty && !text.utf8.contains(0) && !text.hasBytePrefix("/"))
            require(FileSystem.parent(of: text).utf8.count <= text.utf8.count)
        }
        _ = (FileFormat(path: text), TensorPlace(tensorName: text), GGUFSplit(fileName: text))
        require(PercentEncoding.decode(PercentEncoding.encode(text)).map { ByteText($0) == ByteText(text) } ?? true)
    }

    /// A store with one model of one file, in a directory for temporary files.
    private static let store: Store = {
        let path = NSTemporaryDirectory() + "weightstore-fuzz-\(ProcessInfo.processInfo.processIdentifier)"
        do {
            try FileManager.default.createDirectory(atPath: path + "/m", withIntermediateDirectories: true)
            try Data("{}".utf8).write(to: URL(fileURLWithPath: path + "/m/config.json"))
            let store = try Store(at: path + "/store", create: true)
            try store.importModelBlocking(ImportRequest(source: path + "/m"))
            return store
        } catch {
            fatalError("cannot create a store: \(error)")
        }
    }()

    private static func refs(_ text: String) {
        // Most texts are refused with an error.
        if let ref = try? RefName.check(text) { require(ref.utf8.allSatisfy { 0x21...0x7E ~= $0 }) }
        require(!CommitName.isValid(text) || text.utf8.count == 40)
        _ = try? store.revision("m@" + text)
        _ = try? PullRequest(text)
    }

    private static func urls(_ text: String) {
        _ = try? DirectoryOrigin(text)
        _ = try? DirectoryOrigin("file://" + text)
        for text in [text, "http://" + text, "https://h/" + text] {
            guard let address = Address(text) else { continue }
            require(!address.host.isEmpty && ["http", "https"].contains(address.scheme))
            _ = (address.isLoopback, address.origin, address.following("/" + text), address.following(text))
        }
        _ = HubListing.next(link: text)
    }

    private static func proxies(_ text: String) {
        // Most texts are refused with an error.
        if let proxy = try? ProxyServer(text) {
            require(!proxy.host.isEmpty && 1...65_535 ~= proxy.port)
            let again = try? ProxyServer(proxy.name)
            require(again?.port == proxy.port && again?.kind == proxy.kind)
        }
        let exceptions = ProxyExceptions(text)
        for host in ["h", "10.0.0.1", "fd00::1", text] { _ = exceptions.contains(host: host, port: 80) }
    }

    private static func mounts(_ text: String) {
        for mount in MountTable(lines: text.byteParts("\n")).mounts { require(mount.major >= 0 && mount.minor >= 0) }
    }

    private static func ranges(_ text: String) {
        if let range = Quantity.parseRange(text) { require(range.lowerBound >= 0) }
        if let share = Quantity.parseShare(text) { require(share > 0 && share <= 1) }
        for field in [text, "bytes=" + text] {
            for bytes in [0, 1, 10, Int.max] {
                guard let range = ByteRange(field)?.range(of: bytes) else { continue }
                require(!range.isEmpty && range.lowerBound >= 0 && range.upperBound <= bytes)
            }
        }
    }

    private static func routes(_ text: String) {
        for path in [text, "/org/name/resolve/" + text, "/api/models/" + text, "/v2/" + text] {
            switch try? Route(path) {
            case .file(let model, _, let path)?, .raw(let model, _, let path)?:
                require((try? ModelName.check(model)) != nil && RelativePath.isValid(path))
            case .tree(let model, _, let path)?:
                require((try? ModelName.check(model)) != nil && (path.isEmpty || RelativePath.isValid(path)))
            case .registryManifest(let model, _)?, .registryBlob(let model, _)?, .discussions(let model)?:
                require((try? ModelName.check(model)) != nil)
            default: break
            }
        }
        let query = Query(text)
        require(Query(query.text) == query)
        _ = (query["limit"], query.isSet("recursive"), query.with("cursor", text).text)
    }

    // MARK: Files

    /// Metadata is read whole from every file whose layout is read, with the same keys.
    private static func metadata(_ bytes: [UInt8]) {
        let source = MemorySource(name: "fuzz", bytes: bytes)
        let metadata = try? GGUF.readMetadata(source)
        guard let layout = try? GGUF.readLayout(source), layout.format == .gguf else { return }
        require(metadata.map { Set($0.map(\.key)) } == Set(layout.metadata.keys))
    }

    private static func layout(_ bytes: [UInt8], _ format: FileFormat) {
        guard let layout = try? FileLayout.read(MemorySource(name: "f", bytes: bytes), format: format) else { return }
        var names: Set<[UInt8]> = []
        for tensor in layout.tensors {
            require(names.insert(Array(tensor.name.utf8)).inserted && !tensor.name.utf8.contains(0))
            require(tensor.offset >= 0 && tensor.bytes >= 0 && tensor.bytes <= bytes.count - tensor.offset)
        }
        let plan = ShardPlan(layout)
        require(plan.extents.reduce(0) { $0 + $1.length } == bytes.count)
        for extent in plan.extents {
            require(extent.shardOffset >= 0 && extent.length <= plan.shards[extent.shard].bytes - extent.shardOffset)
        }
    }

    private static func index(_ bytes: [UInt8]) {
        guard let index = try? SafetensorsIndex.parse(name: "i", bytes: bytes) else { return }
        require(index.files.allSatisfy { RelativePath.isValid($0) || $0.utf8.count >= 4096 })
        _ = try? index.check([(key: String, value: FileLayout)]())
    }

    private static func manifests(_ bytes: [UInt8]) {
        let line = Array("weightstore manifest 1\n".utf8)
        for bytes in [bytes, line + bytes] {
            guard let manifest = try? Manifest(decoding: bytes, path: "m") else { continue }
            require((try? Manifest(decoding: manifest.encoded(), path: "m")) == manifest)
            for file in manifest.files {
                require(RelativePath.isValid(file.path) && file.content.bytes >= 0)
                for extent in file.content.extents {
                    let shard = file.content.shards[extent.shard]
                    require(extent.shardOffset >= 0 && extent.length <= shard.bytes - extent.shardOffset)
                }
            }
            _ = manifest.files.map { $0.content.canonical() }
        }
    }

    private static func records(_ bytes: [UInt8]) {
        guard let record = try? ModelRecord(decoding: bytes, path: "r"), let again = try? record.encoded() else {
            return
        }
        require((try? ModelRecord(decoding: again, path: "r")) != nil)
        for prompt in record.prompts ?? [] { _ = TokenList(prompt.tokens).digest }
    }

    private static func listings(_ bytes: [UInt8]) {
        for file in (try? HubListing.files(bytes, model: "m", commit: "c")) ?? [] { _ = (file.path, file.bytes) }
        _ = try? HubListing.commit(bytes)
        for bytes in [bytes, Array("<ListBucketResult>".utf8) + bytes + Array("</ListBucketResult>".utf8)] {
            if let listing = try? BucketListing(bytes) { require(listing.objects.allSatisfy { $0.bytes >= 0 }) }
        }
        let text = String(decoding: bytes, as: UTF8.self)
        _ = (HTTPDate.parse(text), XMLText.plain(text))
    }
}

/// Traps, also in a release build, so that the fuzzer keeps the input.
private func require(_ isValid: Bool, line: Int = #line) {
    if !isValid { fatalError("an accepted input is not valid (line \(line))") }
}
