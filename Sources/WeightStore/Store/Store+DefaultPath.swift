import Foundation

extension Store {
    /// The default directory of a store: `$WEIGHTSTORE_HOME`, or `weightstore` in `$XDG_DATA_HOME` or `~/.local/share`.
    public static var defaultPath: String {
        let environment = ProcessInfo.processInfo.environment
        if let home = environment["WEIGHTSTORE_HOME"], !home.isEmpty { return home }
        let data = environment["XDG_DATA_HOME"] ?? (environment["HOME"] ?? "") + "/.local/share"
        return data + "/weightstore"
    }
}
