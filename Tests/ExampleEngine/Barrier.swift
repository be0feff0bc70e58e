import Foundation

/// Lets processes wait for each other: each creates a file in a directory when it has reached this point.
struct Barrier {
    private let directory: String

    init(_ directory: String) { self.directory = directory }

    /// Waits until three files exist.
    func join(as name: String) throws {
        try Data().write(to: URL(fileURLWithPath: directory + "/" + name))
        let end = Date() + 120
        while try FileManager.default.contentsOfDirectory(atPath: directory).count < 3 {
            guard Date() < end else { throw TimedOut() }
            usleep(10_000)
        }
    }

    struct TimedOut: Error {}
}
