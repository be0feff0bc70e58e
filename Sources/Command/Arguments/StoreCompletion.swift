import ArgumentParser
import DeviceMemory
import WeightStore

/// Completions of names in the store of the command line that is being completed.
extension CompletionKind {
    /// The names of models.
    static var models: CompletionKind {
        .custom { words, _, _ in StoreCompletion(words).names { try $0.models().map(\.name) } }
    }

    /// The names of models; of a model that is followed by `@`, its refs and versions.
    static var revisions: CompletionKind {
        .custom { words, _, prefix in
            StoreCompletion(words).names { store in
                guard let at = prefix.firstIndex(of: "@") else { return try store.models().map(\.name) }
                let model = String(prefix[..<at])
                return try store.revisions(of: model).flatMap { revision in
                    (revision.refs + (revision.version.map { [VersionName.text($0)] } ?? [])).map { "\(model)@\($0)" }
                }
            }
        }
    }

    /// The names of all refs.
    static var refs: CompletionKind {
        .custom { words, _, _ in
            StoreCompletion(words).names { store in Set(try store.models().flatMap(\.refs)).sorted() }
        }
    }

    /// The names of policies.
    static var policies: CompletionKind {
        .custom { words, _, _ in StoreCompletion(words).names { try $0.policies().map(\.name) } }
    }
}

/// The store of a command line that a shell completes.
private struct StoreCompletion {
    private let path: String

    init(_ words: [String]) {
        let option = words.lastIndex(of: "--store").flatMap { words.indices.contains($0 + 1) ? words[$0 + 1] : nil }
        let joined = words.last { $0.hasPrefix("--store=") }.map { String($0.dropFirst("--store=".count)) }
        path = option ?? joined ?? Store.defaultPath
    }

    /// The names; none if the store cannot be opened or read: an error would be written into the line that is edited.
    func names(_ read: (Store) throws -> [String]) -> [String] {
        guard let store = try? Store(at: path) else { return [] }
        return (try? read(store)) ?? []
    }
}

extension ProgressStyle {
    static var defaultCompletionKind: CompletionKind { .list(["auto", "json", "none"]) }
}

extension Tier {
    /// The tiers of this machine's kinds of devices.
    public static var defaultCompletionKind: CompletionKind {
        .list(["ram", "gpu"] + DeviceKinds.all.map { $0.isNumbered ? "\($0.name):0" : $0.name })
    }
}
