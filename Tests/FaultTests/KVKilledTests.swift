import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Kills.KilledTests {
    /// The tokens of forty blocks of four, in a file.
    private func writeTokens(_ tokens: [UInt32], to name: String) throws -> String {
        try directory.write(tokens.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }, to: name)
    }

    private func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = Random(seed: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    @Test("a killed put leaves a prefix of its blocks, each whole, and garbage that gc finds")
    func puts() throws {
        let tokens = (0..<80).map { UInt32($0 * 7) }
        let blocks = bytes(20 * 5000, seed: 1)
        let files = (try writeTokens(tokens, to: "tokens"), try directory.write(blocks, to: "blocks"))
        let address = ["org/base", files.0, "--format", "f", "--block-tokens", "4"]
        // Some blocks are stored already.
        try ChildProcess.copy(directory("template"), to: directory("kv"))
        let head = try directory.write(blocks.prefix(15_000), to: "head")
        let start = try writeTokens(Array(tokens.prefix(12)), to: "start")
        let first = try Tool(store: directory("kv")).run(
            ["kv", "put", "org/base", start, head, "--format", "f", "--block-tokens", "4"])
        try #require(first.status == 0, "\(first.errors)")
        try killing(
            ["kv", "put", address[0], address[1], files.1] + address[2...], on: directory("kv"), most: 2
        ) { place, point, wasKilled in
            let store = try Store(at: place)
            try expectBase(store, point)
            let kv = try store.kvBlocks(of: store.revision("org/base"), format: "f", blockTokens: 4)
            let chain = kv.chain(tokens)
            let found = try kv.longestPrefix(of: chain).blocks
            #expect(wasKilled ? [3, 20].contains(found) : found == 20, "\(point): \(found)")
            func check() throws {
                let lease = try kv.leaseBlocking(chain.prefix(), in: .ram)
                for block in 0..<lease.blocks {
                    #expect(
                        try lease.withUnsafeBytes(ofBlock: block) { Array($0) }
                            == blocks[block * 5000..<(block + 1) * 5000].map(\.self), "\(point)")
                }
                #expect(try lease.blocks == kv.longestPrefix(of: chain).blocks, "\(point)")
            }
            try check()
            try collect(store, point)
            try check()
            let again = try kv.put(chain, blocks: 0..<20) { block, append in
                try Array(blocks[block * 5000..<(block + 1) * 5000]).withUnsafeBytes(append)
            }
            #expect(again.stored + again.known == 20, "\(point)")
            try check()
            try collect(store, point)
        }
    }

    @Test("a killed drop leaves no block without its parent")
    func drops() throws {
        let tokens = (0..<80).map { UInt32($0 * 7) }
        let place = directory("kv")
        try ChildProcess.copy(directory("template"), to: place)
        do {
            let store = try Store(at: place)
            let kv = try store.kvBlocks(of: store.revision("org/base"), format: "f", blockTokens: 4)
            try kv.put(kv.chain(tokens), (0..<20).map { bytes(500, seed: UInt64($0)) })
            try store.catalog.checkpoint()
        }
        try ChildProcess.check("sh", "-c", "rm -f '\(place)'/leases/*")
        try killing(["evict", "--kind", "kv", "--free", "5k"], on: place, most: 2) { place, point, wasKilled in
            let store = try Store(at: place)
            try collect(store, point)
            let kv = try store.kvBlocks(of: store.revision("org/base"), format: "f", blockTokens: 4)
            let lease = try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram)
            #expect(try lease.blocks == store.kvGauge().blocks, "\(point)")
            #expect(wasKilled || lease.blocks < 12, "\(point)")
            for block in 0..<lease.blocks {
                #expect(
                    try lease.withUnsafeBytes(ofBlock: block) { Array($0) } == bytes(500, seed: UInt64(block)),
                    "\(point)")
            }
        }
    }
}

extension Faults {
    /// KV blocks of many processes, and after a power cut.
    @Suite struct KVSharedTests {
        let directory = try! TemporaryDirectory()

        private func prepare(_ place: String) throws -> Tool {
            try TestModel(layers: 1, wide: 8).write(to: directory("base"))
            let tool = Tool(store: place)
            let result = try tool("import", directory("base"), "--name", "org/base")
            try #require(result.status == 0, "\(result.errors)")
            return tool
        }

        /// A sequence of ten blocks of four tokens, and their bytes; the first blocks are those of others, too.
        private func prompt(_ number: Int) throws -> (tokens: [UInt32], blocks: [[UInt8]], files: [String]) {
            let tokens = (0..<40).map { UInt32($0 < 20 ? $0 + number % 2 : $0 * number) }
            let blocks = (0..<10).map { block in
                var random = Random(
                    seed: tokens[..<(4 * block + 4)].reduce(7) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 })
                return (0..<3000).map { _ in UInt8.random(in: 0...255, using: &random) }
            }
            let path = try directory.write(
                tokens.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }, to: "tokens-\(number)")
            return (tokens, blocks, [path, try directory.write(blocks.flatMap(\.self), to: "blocks-\(number)")])
        }

        private func expectWhole(_ store: Store, _ prompts: [(tokens: [UInt32], blocks: [[UInt8]], files: [String])])
            throws -> Int
        {
            let kv = try store.kvBlocks(of: store.revision("org/base"), format: "f", blockTokens: 4)
            var found = 0
            for prompt in prompts {
                let lease = try kv.leaseBlocking(kv.chain(prompt.tokens).prefix(), in: .ram)
                found += lease.blocks
                for block in 0..<lease.blocks {
                    #expect(try lease.withUnsafeBytes(ofBlock: block) { Array($0) } == prompt.blocks[block])
                }
            }
            return found
        }

        @Test("processes that put, get, evict and collect at once share blocks, and no block is ever wrong")
        func processes() throws {
            let place = directory("store")
            let tool = try prepare(place)
            let prompts = try (1...4).map(prompt)
            for round in 0..<4 {
                var running = try prompts.map {
                    try tool.start([
                        "kv", "put", "org/base", $0.files[0], $0.files[1], "--format", "f", "--block-tokens", "4",
                    ])
                }
                running.append(try tool.start(["gc", "--grace", "0"]))
                running.append(try tool.start(["evict", "--kind", "kv", "--free", "20k"]))
                for process in running {
                    let result = process.result()
                    // There may be fewer blocks than are to be evicted.
                    #expect([0, 13].contains(result.status), "round \(round): \(result.errors)")
                }
                for prompt in prompts {
                    let got = try tool(
                        "kv", "get", "org/base", prompt.files[0], directory("got"), "--format", "f", "--block-tokens",
                        "4", "--json")
                    #expect([0, 2].contains(got.status), "\(got.errors)")
                    if got.status == 0 {
                        let bytes = try contents(directory("got"))
                        #expect(
                            bytes == Array(prompt.blocks.flatMap(\.self).prefix(bytes.count)) && bytes.count % 3000 == 0
                        )
                    }
                }
            }
            let store = try Store(at: place)
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [])
            // Without evictions all blocks are stored, and the common ones once.
            for prompt in prompts {
                #expect(
                    try tool(
                        "kv", "put", "org/base", prompt.files[0], prompt.files[1], "--format", "f", "--block-tokens",
                        "4"
                    ).status == 0)
            }
            #expect(try expectWhole(store, prompts) == 40)
            #expect(try store.kvGauge().blocks == 2 * 5 + 4 * 5)
        }

        @Test(
            "after a power cut every block that is found is whole",
            .enabled(if: Machine.mountsImages, Comment(rawValue: Machine.images)))
        func power() throws {
            let disk = try Disk.ext4(megabytes: 64)
            let tool = try prepare(disk("store"))
            sync()
            let prompts = try (1...4).map(prompt)
            for (step, prompt) in prompts.enumerated() {
                let put = try tool(
                    "kv", "put", "org/base", prompt.files[0], prompt.files[1], "--format", "f", "--block-tokens", "4")
                #expect(put.status == 0, "\(put.errors)")
                // A later change of another kind makes the rows durable; sometimes the journal has been written, too.
                if step % 2 == 0 { #expect(try tool("tag", "org/base", "ref\(step)").status == 0) }
                if step == 3 { try disk.commitJournal() }
                try disk.cutPower()
                try disk.mountAgain()
                let store = try Store(at: disk("store"))
                _ = try expectWhole(store, prompts)
                _ = try store.collectGarbage(graceSeconds: 0)
                #expect(try Inspection.leftovers(in: store) == [])
                #expect(try store.verifyBlocking().kvDropped == 0)
            }
        }
    }
}
