import Foundation
import TestSupport

/// One step of a random sequence: a command, a command that is killed, or an event.
enum Step: Sendable, Equatable, CustomStringConvertible {
    case run(SequenceCommand)
    /// SIGKILL at the `ordinal`th call of `call`; with a place, of those on the files of that directory. A run with fewer
    /// calls ends by itself.
    case kill(SequenceCommand, call: String, place: Int? = nil, ordinal: Int)
    /// EIO at the `ordinal`th call of `call`. A command that fails has changed nothing or all.
    case fail(SequenceCommand, call: String, ordinal: Int)
    case event(SequenceEvent)

    /// As a line of a shell script; the directories are relative.
    var description: String {
        switch self {
        case .run(let command): "weightstore \(command)"
        case .kill(let command, let call, let place, let ordinal):
            "weightstore \(command)    # kill -9 at \(call) \(place.map { "d\($0) " } ?? "")\(ordinal)"
        case .fail(let command, let call, let ordinal):
            "weightstore \(command)    # EIO at \(call) \(ordinal)"
        case .event(let event): "\(event)"
        }
    }
}

/// A command of the tool. Directories outside of the store have numbers: `d0`, `d1`, ….
enum SequenceCommand: Sendable, Equatable, CustomStringConvertible {
    case importing(Int, model: String, ref: String?, move: Bool, origin: Int?, trust: Bool)
    case tag(String, ref: String)
    case untag(String)
    case pin(String)
    case unpin(String)
    case quota(Int?)
    case evict(Int?)
    case remove([String], force: Bool)
    case prune(keepLast: Int?, includeReferenced: Bool)
    case collect(grace: Int?, downTo: Int?)
    case discardNewer
    case verify(origins: Bool)
    case rebuild
    case merge
    case backUp
    case addOrigin(String, Int, trust: Bool)
    case removeOrigin(String, Int, force: Bool)
    case checkOrigins
    case export(String)
    /// Fetches the hub's model: all of it, or one layer. The rest of it is then fetched by its first use.
    case pull(layer: Int?)
    case putBlocks(String, prompt: Int)
    case getBlocks(String, prompt: Int)
    /// Evicts KV blocks.
    case evictBlocks(Int?)

    /// The first word of the arguments.
    var name: String { arguments("")[0] }

    /// The arguments of the tool.
    ///
    /// - Parameter root: the directory that the script's relative paths begin at.
    func arguments(_ root: String) -> [String] {
        let text: [String?] =
            switch self {
            case .importing(let place, let model, let ref, let move, let origin, let trust):
                ["import", "\(root)/d\(place)", "--name", model]
                    + (ref.map { ["--ref", $0] } ?? []) + [move ? "--move" : nil]
                    + (origin.map { ["--origin", "file://\(root)/d\($0)"] } ?? []) + [trust ? "--trust" : nil]
            case .tag(let revision, let ref): ["tag", revision, ref]
            case .untag(let name): ["untag", name]
            case .pin(let revision): ["pin", revision]
            case .unpin(let revision): ["unpin", revision]
            case .quota(let bytes): ["quota", "--set", bytes.map { "\($0)" } ?? "none"]
            case .evict(let bytes): ["evict", "--free", bytes.map { "\($0)" } ?? "1T"]
            case .remove(let names, let force): ["rm"] + names + [force ? "--force" : nil]
            case .prune(let keepLast, let includeReferenced):
                ["prune"] + (keepLast.map { ["--keep-last", "\($0)"] } ?? [])
                    + [includeReferenced ? "--include-referenced" : nil]
            case .collect(let grace, let downTo):
                ["gc"] + (grace.map { ["--grace", "\($0)"] } ?? []) + (downTo.map { ["--quota", "\($0)"] } ?? [])
            case .discardNewer: ["gc", "--grace", "0", "--discard-newer", "--yes"]
            case .verify(let origins): ["verify", origins ? "--origins" : nil]
            case .rebuild: ["rebuild"]
            case .merge: ["rebuild", "--merge"]
            case .backUp: ["backup", "\(root)/backup"]
            case .addOrigin(let name, let place, let trust):
                ["origin", "add", name, "file://\(root)/d\(place)", trust ? "--trust" : nil]
            case .removeOrigin(let name, let place, let force):
                ["origin", "rm", name, "file://\(root)/d\(place)", force ? "--force" : nil]
            case .checkOrigins: ["origin", "check"]
            case .export(let revision): ["export", revision, "\(root)/out"]
            case .pull(let layer): ["pull", SequenceHub.model] + (layer.map { ["--layers", "\($0)"] } ?? [])
            case .putBlocks(let revision, let prompt):
                ["kv", "put", revision, "\(root)/tokens\(prompt)", "\(root)/blocks\(prompt)"] + Self.layout
            case .getBlocks(let revision, let prompt):
                ["kv", "get", revision, "\(root)/tokens\(prompt)", "\(root)/got"] + Self.layout
            case .evictBlocks(let bytes): ["evict", "--kind", "kv", "--free", bytes.map { "\($0)" } ?? "1T"]
            }
        return text.compactMap(\.self)
    }

    /// The options that describe KV blocks.
    private static let layout: [String?] = [
        "--format", SequencePrompt.format, "--block-tokens", "\(SequencePrompt.blockTokens)",
    ]

    var description: String { arguments("$PWD").joined(separator: " ").replacingOccurrences(of: " $PWD/", with: " ") }
}

/// Events around the store. Indices count files in the order of their names, and wrap around.
enum SequenceEvent: Sendable, Equatable, CustomStringConvertible {
    /// A directory gets the files of a model.
    case write(Int, variant: Int)
    /// A file changes in place: the last byte of weights, one more byte of any other file.
    case edit(Int, file: Int)
    /// Another file of the same size and modification time replaces a file.
    case replace(Int, file: Int)
    case delete(Int, file: Int)
    /// A file gets a second name, which ends in `.bin`.
    case link(Int, file: Int)
    /// Another process uses a revision, until it is released.
    case hold(String)
    case release
    /// The directory is missing until it is restored.
    case away(Int)
    case back(Int)
    case unmount
    case mount
    /// `store.db` of the backup is put back.
    case restore
    /// Checks within the last hour become older than an hour.
    case expireChecks
    /// Orphaned shards become a day older.
    case expireGracePeriod
    /// The file of a shard is lost.
    case loseShard(Int)
    /// A byte of a shard changes on the disk.
    case corrupt(Int)
    /// The lost and changed shards are restored, with the right bytes.
    case restoreShards
    /// The hub gets the files of a directory as its newest revision.
    case publish(Int)
    /// The hub loses its model.
    case withdraw
    /// The hub does not answer, until it is opened again.
    case closeHub
    case openHub
    /// A manifest (even numbers) or a record (odd numbers) is lost.
    case loseDescription(Int)

    var description: String {
        switch self {
        case .write(let place, let variant): "write_model \(variant) d\(place)"
        case .edit(let place, let file): "edit d\(place) \(file)"
        case .replace(let place, let file): "replace d\(place) \(file)"
        case .delete(let place, let file): "delete d\(place) \(file)"
        case .link(let place, let file): "link d\(place) \(file)"
        case .hold(let name): "weightstore load \(name) --hold &"
        case .release: "kill %1"
        case .away(let place): "mv d\(place) d\(place).away"
        case .back(let place): "mv d\(place).away d\(place)"
        case .unmount: "mv store/blobs blobs.away && mkdir store/blobs"
        case .mount: "rm -r store/blobs && mv blobs.away store/blobs"
        case .restore: "cp backup/store.db store/store.db && rm -f store/store.db-wal store/store.db-shm"
        case .expireChecks: "sqlite3 store/store.db 'UPDATE revision_origin SET checked_at = checked_at - 7200'"
        case .expireGracePeriod:
            "sqlite3 store/store.db 'UPDATE shard SET orphaned_at = orphaned_at - 100000 WHERE orphaned_at > 100000'"
        case .loseShard(let shard): "lose_shard \(shard)"
        case .corrupt(let shard): "corrupt_shard \(shard)"
        case .restoreShards: "give_back"
        case .publish(let place): "publish d\(place)"
        case .withdraw: "weightstore rm \(SequenceHub.model) --store hub"
        case .closeHub: "close_hub"
        case .openHub: "open_hub"
        case .loseDescription(let index): "lose_description \(index)"
        }
    }
}
