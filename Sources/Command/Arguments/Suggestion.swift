import Synchronization
import WeightStore

/// Names in the store that a name may mean which it lacks.
enum Suggestion {
    /// The directory of the store that the command has opened last.
    static let store = Mutex<String?>(nil)

    /// "Did you mean 'org/model'?"; nil if no name is near.
    ///
    /// - Parameters:
    ///   - kind: the kind of the thing, as in ``StorageError/notFound(kind:name:detail:)``.
    ///   - name: the name that the store lacks.
    static func question(_ kind: String, _ name: String) -> String? {
        // The suggestion is an addition to an error: an error of its own is not reported.
        guard let path = store.withLock({ $0 }), let store = try? Store(at: path) else { return nil }
        switch kind {
        case "model":
            return Spelling.question(name, in: (try? store.models().map(\.name)) ?? [])
        case "policy":
            return Spelling.question(name, in: (try? store.policies().map(\.name)) ?? [])
        case "revision", "ref":
            guard let at = name.firstIndex(of: "@") else { return nil }
            let (model, ref) = (String(name[..<at]), String(name[name.index(after: at)...]))
            let refs = (try? store.revisions(of: model).flatMap(\.refs)) ?? []
            return Spelling.question(ref, in: refs)
        default:
            return nil
        }
    }
}
