import ArgumentParser
import Fleet
import Server
import WeightStore

/// Advice to a user of the tool about an error. The library's messages name no command; the tool adds these sentences.
enum Advice {
    /// The sentence for an error; nil if its own message says enough.
    ///
    /// - Parameter command: the command that failed; nil if the parser failed.
    static func text(for error: any Error, of command: (any ParsableCommand)?) -> String? {
        switch error {
        case let error as StorageError: text(for: error)
        case let error as StoreError: text(for: error, of: command)
        case let error as FleetError: text(for: error)
        case let error as FormatError: text(for: error)
        case ServerError.bind: "\"--port 0\" picks a free port."
        case FileError.diskFull:
            "Free space with \"weightstore prune\" and \"weightstore gc\", then run the command again."
        case FetchError.stalled, FetchError.disconnected: (command as? any ConnectionAdvice)?.connectionAdvice
        case FetchError.noOrigin: "Give one with \"weightstore pull --origin URL\"."
        default: nil
        }
    }

    private static func text(for error: StorageError) -> String? {
        switch error {
        case .notAStore:
            """
            "weightstore import" or "weightstore pull" creates one; --store or WEIGHTSTORE_HOME selects another \
            directory.
            """
        case .catalogDamaged:
            "\"weightstore rebuild\" creates a new catalog from the blobs and keeps the old one."
        case .catalogOlder:
            """
            "weightstore rebuild --merge" adds the newer revisions; "weightstore gc --discard-newer" lists and discards \
            them.
            """
        case .foreignBlobs:
            """
            Mount it. If these are the store's blobs, such as those of a backup, "weightstore rebuild --merge" accepts \
            them.
            """
        case .tooManyMissing: "\"weightstore verify\" records which shards are missing."
        case .damaged: "\"weightstore verify\" finds all damage; import or pull the model again to heal it."
        case .invalid("directory to import", _, _): "If it is the right directory, import it with --any."
        case .invalid("export target", _, _): "\"--force\" replaces existing files."
        case .readOnly:
            """
            Run the command as the store's owner, or as a member of a group with which "weightstore init --shared-group" \
            shares it.
            """
        case .removed: "\"weightstore ls\" lists the present models."
        case .missing: "Import or pull the model again to heal it."
        case .notFound(let kind, let name, let detail) where detail.isEmpty:
            [Suggestion.question(kind, name), list(kind, name)].compactMap(\.self).joined(separator: " ")
        default: nil
        }
    }

    /// The command that lists everything of a kind.
    private static func list(_ kind: String, _ name: String) -> String? {
        let revision = name.prefix { $0 != " " }
        let model = revision.prefix { $0 != "@" }
        return switch kind {
        case "model": "\"weightstore ls\" lists them."
        case "revision", "ref", "layer": "\"weightstore show \(model)\" lists them."
        case "file": "\"weightstore files \(revision)\" lists them."
        case "tensor", "expert": "\"weightstore tensors \(revision)\" lists them."
        case "prompt": "\"weightstore prompt ls \(model)\" lists them."
        case "policy": "\"weightstore policy ls\" lists them."
        case "token": "\"weightstore token ls\" lists them."
        case "record of accesses": "\"weightstore record on\" starts recording."
        default: nil
        }
    }

    private static func text(for error: StoreError, of command: (any ParsableCommand)?) -> String? {
        switch error {
        case .sourceChanged: "Run the import again while no other program writes to it."
        case .incomplete: "Fetch the missing files, or import the others with --partial."
        case .moveInterrupted(let source, let revision):
            """
            "weightstore export \(revision) DIR" writes the moved files; put them back into \(source) and import it, or \
            remove the revision with "weightstore rm \(revision)".
            """
        case .moveIntoAnother(let source, let model):
            "Complete it first: \"weightstore import \(source) --name \(model) --move\"."
        case .originLacks, .originUnchecked:
            "Leave the origin out, or skip the check with --trust: the origin then counts as checked."
        case .originNeeded:
            "Export or remove the revision first, add another origin, or discard these shards with --force."
        case .neededElsewhere(let revision, _, _, _):
            """
            Restore the origin, or remove the other revisions first. If the bytes are gone for good, remove the origin with \
            "weightstore origin rm --force \(revision) URL".
            """
        case .originsFailed: text(for: error.cause, of: command)
        case .fetch(let error): text(for: error, of: command)
        case .inUse: "Stop these processes, or run the command again after they have ended."
        case .quotaFull: "\"weightstore prune\" removes models, \"weightstore quota --set\" sets another quota."
        default: nil
        }
    }

    private static func text(for error: FormatError) -> String? {
        switch error.problem {
        case .missingFile, .unsafeFileName, .notASplitName, .mixedSplits, .missingMetadata, .splitDisagrees,
            .duplicateName:
            nil
        // Without --strict it is a warning.
        case _ where error.consequence != nil && error.problem != .gitLFSPointer: "Leave out --strict to keep the file."
        default: "\"--opaque\" keeps the file without its tensors."
        }
    }

    private static func text(for error: FleetError) -> String? {
        switch error {
        case .unknown("model", _, _): "\"weightstore push\" publishes it."
        case .unknown("ref", _, let detail), .unknown("version", _, let detail):
            detail.isEmpty ? "\"weightstore fleet status\" lists them." : nil
        case .refMoved: "\"weightstore fleet status\" shows the ref; run the command again if the move is still wanted."
        case .inconsistent:
            "\"weightstore fleet repair\" makes the objects that exist the current ones, if nothing can be restored."
        case .removesTooMuch:
            "\"weightstore fleet verify\" checks the versions; --allow-removing 50% allows half of the shards to be removed."
        default: nil
        }
    }
}
