import Synchronization

/// The form of a command's output, for the whole process.
enum Presentation {
    private static let current = Mutex((isJSON: false, progress: ProgressStyle.auto, cutsNames: true))

    /// The version of the form of all JSON output. A new property keeps it; a removed or changed one raises it.
    static let schema = 1

    /// Whether messages and errors are JSON, too.
    static var isJSON: Bool {
        get { current.withLock { $0.isJSON } }
        set { current.withLock { $0.isJSON = newValue } }
    }

    /// Whether tables cut long names to fit the terminal.
    static var cutsNames: Bool {
        get { current.withLock { $0.cutsNames } }
        set { current.withLock { $0.cutsNames = newValue } }
    }

    static var progress: ProgressStyle {
        get { current.withLock { $0.progress } }
        set { current.withLock { $0.progress = newValue } }
    }
}
