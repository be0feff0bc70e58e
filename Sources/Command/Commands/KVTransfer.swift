import ArgumentParser
import Foundation
import Server
import WeightStore

/// The arguments of `kv put` and `kv get`: whose blocks, and for which tokens.
struct KVAddress: ParsableArguments {
    @Argument(help: "The revision that computed them.") var revision: String
    @Argument(help: "The tokens: a file of 32-bit little-endian numbers.", completion: .file()) var tokens: String
    @Option(help: ArgumentHelp("A name for the layout of a block's bytes: any text.", valueName: "text")) var format:
        String
    @Option(help: ArgumentHelp("Tokens per block.", valueName: "count")) var blockTokens: Int
    @Option(
        help: ArgumentHelp("A file with the tenant's salt (default: none).", valueName: "file"), completion: .file())
    var tenantFile: String?

    func open(_ options: StoreOptions) throws -> (kv: KVBlocks, chain: KVChain) {
        let tenant = try tenantFile.map { try InputFile.text($0) } ?? ""
        let bytes = try InputFile.data(tokens)
        guard bytes.count % 4 == 0 else {
            throw StorageError.invalid(
                what: "file of tokens", value: tokens, reason: "\(bytes.count) bytes: must be a multiple of 4")
        }
        let store = try options.open()
        let kv = try store.kvBlocks(
            of: store.revision(revision), format: format, blockTokens: blockTokens,
            tenant: tenant)
        let numbers = (0..<bytes.count / 4).map { index in
            bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)) }
        }
        return (kv, kv.chain(numbers))
    }
}

struct KVPut: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Store the KV blocks of a sequence of tokens.",
        discussion: "For engines that do not link the library. Tokens after the last whole block are ignored."
    ).examples("kv put org/llama tokens.bin blocks.bin --format f16 --block-tokens 16")

    @OptionGroup var address: KVAddress
    @Argument(help: "The bytes of all whole blocks in order, all of one size.", completion: .file())
    var blocks: String
    @OptionGroup var options: StoreOptions

    func run() throws {
        let (kv, chain) = try address.open(options)
        let bytes = try InputFile.data(blocks)
        guard chain.blocks > 0, bytes.count > 0, bytes.count % chain.blocks == 0 else {
            throw StorageError.invalid(
                what: "file of blocks", value: blocks,
                reason: "\(bytes.count) bytes cannot be divided into \(chain.blocks) blocks of one size")
        }
        let length = bytes.count / chain.blocks
        let summary = try kv.put(chain, blocks: 0..<chain.blocks) { block, write in
            try bytes.withUnsafeBytes {
                try write(UnsafeRawBufferPointer(rebasing: $0[block * length..<(block + 1) * length]))
            }
        }
        if let refusal = summary.refusal { Terminal.printDiagnostic(text(of: refusal, summary.refused)) }
        if options.json { return try Terminal.write(json: summary) }
        try Terminal.write(
            "\(Quantity.count(summary.stored, "KV block")) stored, \(Quantity.bytes(summary.bytes)); "
                + "\(summary.known) already stored, \(summary.refused) not kept\n")
    }

    /// Why blocks were not kept, and the next step.
    private func text(of refusal: KVPutSummary.Refusal, _ count: Int) -> String {
        let next: String? =
            switch refusal {
            case .quota: "quota --kind kv --set SIZE"
            case .disk: "evict --free 10G"
            case .chain: nil
            }
        return "\(Quantity.count(count, "KV block")) not kept: \(refusal.reason)"
            + (next.map { ". Next: weightstore \($0)" } ?? "")
    }
}

struct KVGet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Write the KV blocks of the longest stored prefix of the tokens into a file.",
        discussion: "Exit status 2 if there is none."
    ).examples("kv get org/llama tokens.bin out.bin --format f16 --block-tokens 16")

    @OptionGroup var address: KVAddress
    @Argument(help: "The file.", completion: .file()) var output: String
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let blocks: Int
        let tokens: Int
        let bytes: Int
    }

    func run() throws {
        let (kv, chain) = try address.open(options)
        let lease = try kv.leaseBlocking(chain.prefix(), in: .ram)
        guard lease.blocks > 0 else {
            throw StorageError.notFound(
                kind: "KV block", name: address.tokens,
                detail: "The store has no block of these tokens in this format and with this tenant.")
        }
        guard FileManager.default.createFile(atPath: output, contents: nil),
            let file = FileHandle(forWritingAtPath: output)
        else {
            throw StorageError.invalid(
                what: "file to write", value: output,
                reason: "cannot be created; its directory must exist and be writable")
        }
        var bytes = 0
        for block in 0..<lease.blocks {
            try lease.withUnsafeBytes(ofBlock: block) { try file.write(contentsOf: Data($0)) }
            bytes += lease.bytes(ofBlock: block)
        }
        try file.close()
        if options.json {
            return try Terminal.write(json: Answer(blocks: lease.blocks, tokens: lease.tokens, bytes: bytes))
        }
        try Terminal.write(
            "\(Quantity.count(lease.blocks, "KV block")), \(lease.tokens) tokens, \(Quantity.bytes(bytes))\n")
    }
}
