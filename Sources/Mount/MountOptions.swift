/// The settings of a ``StoreMount``.
public struct MountOptions: Sendable {
    /// Shell patterns of the models that are shown; empty for all.
    public var models: [String] = []
    /// The revision that is shown in place of the models, as ``Store/revision(_:)`` names it.
    public var revision: String?
    /// Whether other users may read the mounted files. Without it, the kernel denies them, root included.
    public var allowsOthers = false
    /// The time after which a read whose bytes cannot be fetched fails, in seconds. What was fetched is kept, so a repeated
    /// read resumes there.
    public var timeoutSeconds = 300.0
    /// The threads that serve reads of stored bytes.
    public var threads = 4

    /// The default settings: all models, for this user.
    public init() {}
}
