/// A function that is called once, at a later release of a region of an arena.
struct ReleaseNotification: Sendable {
    /// The number of releases before that one.
    private var skipped = 0
    /// nil if there is no such function, or it was called.
    private var body: (@Sendable () -> Void)?

    init() {}

    init(skipped: Int, _ body: @escaping @Sendable () -> Void) {
        self.skipped = skipped
        self.body = body
    }

    /// Counts a release.
    ///
    /// - Returns: the function, if it is to be called now.
    mutating func countRelease() -> (@Sendable () -> Void)? {
        guard skipped == 0 else {
            skipped -= 1
            return nil
        }
        defer { body = nil }
        return body
    }
}
