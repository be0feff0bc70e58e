import Glibc
import Synchronization
import WeightStore

/// The files and directories that a command has created and not completed. Nothing resumes them.
final class UnfinishedFiles: Sendable {
    private let paths = Mutex<[String]>([])

    /// Adds a path that is about to be created.
    func add(_ path: String) { paths.withLock { $0.append(path) } }

    /// Creates a directory and its missing parents, and adds those.
    func createDirectory(_ path: String) throws {
        var missing: [String] = []
        var place = path
        while !place.isEmpty, !FileSystem.exists(place) {
            missing.append(place)
            let parent = FileSystem.parent(of: place)
            if parent == place { break }
            place = parent
        }
        for place in missing.reversed() { add(place) }
        try FileSystem.createDirectory(path)
    }

    /// Removes everything, the latest first. A directory that has other files stays.
    func remove() {
        let created = paths.withLock { paths in
            defer { paths = [] }
            return paths
        }
        for path in created.reversed() {
            // Also called when the process is ended by a signal: what cannot be removed stays.
            if (try? FileSystem.status(path, following: false))??.isDirectory == true {
                rmdir(path)
            } else {
                _ = try? FileSystem.remove(path)
            }
        }
    }

    /// Keeps everything: it is complete.
    func keep() { paths.withLock { $0 = [] } }
}
