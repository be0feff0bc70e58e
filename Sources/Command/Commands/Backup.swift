import ArgumentParser
import WeightStore

struct Backup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy the catalog, consistently, while the store is in use.",
        discussion: """
            Writes store.db to the directory, replacing an earlier copy. Then copy the blobs with any tool: they never \
            change. To restore: put store.db back, remove store.db-wal and store.db-shm, and run rebuild --merge.
            """
    ).examples("backup /backup/weightstore")

    @Argument(help: "The directory.", completion: .directory) var directory: String
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let path: String
        let bytes: Int
    }

    func run() throws {
        let bytes = try options.open().backUp(to: directory)
        let path = directory + "/store.db"
        if options.json { return try Terminal.write(json: Answer(path: path, bytes: bytes)) }
        try Terminal.write("\(path): \(Quantity.bytes(bytes))\n")
    }
}
