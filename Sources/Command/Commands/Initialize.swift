import ArgumentParser
import WeightStore

struct Initialize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Create a store, with its quota and the group that shares it, before the first import.",
        discussion: """
            An existing store keeps its contents, and gets the quota and the group. With --shared-group, the members of \
            the group have the rights of the owner, and other users have none. Without it, the umask sets the rights.
            """
    ).examples("init --quota 500G --store /srv/weights")

    @Option(
        help: ArgumentHelp("Share the store with the members of this group of the system.", valueName: "group"))
    var sharedGroup: String?
    @Option(help: ArgumentHelp("The disk quota of the shards: 200G, or none.", valueName: "size"))
    var quota: QuotaSize?
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let path: String
        let group: String?
        let quota: Quota
    }

    func run() throws {
        let store = try options.open(create: true)
        if let sharedGroup { try store.share(withGroup: sharedGroup) }
        var limit = try store.quota(of: .weights, except: quota == nil ? [] : [.bytes])
        if let quota {
            limit.bytes = quota.bytes
            try store.setQuota(limit)
        }
        if options.json {
            return try Terminal.write(json: Answer(path: store.path, group: sharedGroup, quota: limit))
        }
        try Terminal.write(
            store.path + (sharedGroup.map { ", shared with the group \($0)" } ?? "")
                + (limit.bytes.map { ", quota \(Quantity.bytes($0))" } ?? "") + "\n")
    }
}
