/// Reads the page of a model for all streams that follow it.
///
/// The page of a model in use changes all the time: after a reading, it is not read for a multiple of the time that the reading
/// took.
actor ModelPageReader {
    /// The multiple of a reading's time for which a changed page is not read again.
    private static let rest = 10
    /// The page is read again after this time also if nothing has changed: it has ages.
    private static let longestAge = Duration.seconds(60)

    /// The page when it was read.
    private struct Reading: Sendable {
        let html: String
        let state: DashboardData.ModelState
        let start: ContinuousClock.Instant
        let end: ContinuousClock.Instant
    }

    private let state: @Sendable () async throws -> DashboardData.ModelState
    private let read: @Sendable () async throws -> String
    /// The look in progress.
    private var running: Task<Reading, any Error>?
    /// nil after a failure, so that the next look reads.
    private var last: Reading?

    /// - Parameters:
    ///   - state: the state of the model, which costs less than a reading.
    ///   - read: reads the page.
    init(
        state: @escaping @Sendable () async throws -> DashboardData.ModelState,
        read: @escaping @Sendable () async throws -> String
    ) {
        self.state = state
        self.read = read
    }

    /// The page, read at `moment` or later: a stream passes its start, so that it never shows a page older than the one on
    /// which the client has opened it.
    func html(since moment: ContinuousClock.Instant) async throws -> String {
        while let running {
            let reading = try await running.value
            if reading.start >= moment { return reading.html }
        }
        let task = Task { try await look(since: moment) }
        running = task
        return try await task.value.html
    }

    /// Reads the page, unless the last reading is recent enough.
    private func look(since moment: ContinuousClock.Instant) async throws -> Reading {
        // No other look was started since: `running` is this one.
        defer { running = nil }
        do {
            let state = try await state()
            let start = ContinuousClock.now
            if let last, last.start >= moment {
                let pause = last.state == state ? Self.longestAge : (last.end - last.start) * Self.rest
                if last.end + pause > start { return last }
            }
            let reading = Reading(html: try await read(), state: state, start: start, end: .now)
            last = reading
            return reading
        } catch {
            last = nil
            throw error
        }
    }
}
