import Foundation
import NIOCore
import ServiceLifecycle
import Support
import Synchronization
import WireFormats

/// The stream of changes: server-sent events with the sections of `/` that differ from those sent before.
///
///     event: section
///     data: {"id":"tiers-body","html":"…"}
///
///     event: models            the table of models has changed: the client loads its page of it
///     data: 1
struct DashboardUpdates: Sendable {
    /// The most streams at a time: each is a connection. Further clients poll until one ends.
    private static let mostStreams = 64
    /// Between two looks.
    private static let interval = Duration.seconds(2)
    /// A stream ends after this time, and its client connects again: with the token that is then required.
    private static let longest = Duration.seconds(600)
    /// Without a change, a comment shows proxies and this server that the connection is alive.
    private static let silence = Duration.seconds(15)
    /// The looks in a row that fail before a section shows the reason. A busy catalog is read again at the next one.
    private static let mostFailures = 3

    private struct Section: Encodable {
        let id: String
        let html: String
    }

    private let data: DashboardData
    private let streams: Shared<Atomic<Int>>

    init(_ data: DashboardData, streams: Shared<Atomic<Int>>) {
        self.data = data
        self.streams = streams
    }

    /// Sends events until the client disconnects or the server stops.
    ///
    /// - Throws: the first error of `send`.
    func run(_ send: (ByteBuffer) async throws -> Void) async throws {
        let open = streams.value.add(1, ordering: .relaxed).newValue
        defer { streams.value.subtract(1, ordering: .relaxed) }
        guard open <= Self.mostStreams else {
            // Browsers wait this long before the next attempt.
            return try await send(ByteBuffer(string: "retry: 30000\n\n"))
        }
        try await send(ByteBuffer(string: "retry: 3000\n\n"))
        let end = ContinuousClock.now + Self.longest
        var lastSent = ContinuousClock.now
        var sent: [DashboardSection: String] = [:]
        var models: [ModelRow]?
        var failures: [DashboardSection: Int] = [:]
        while ContinuousClock.now < end, !Task.isShuttingDownGracefully {
            // Before the sections: who has received these hears of every later change of the models. A failure is tried again.
            if let rows = try? await data.models.value {
                if let models, models != rows {
                    try await send(ByteBuffer(string: "event: models\ndata: 1\n\n"))
                    lastSent = .now
                }
                models = rows
            }
            for (section, html) in await sections(&failures) where sent[section] != html {
                sent[section] = html
                let text = try JSONEncoder().encode(Section(id: section.element, html: html))
                var buffer = ByteBuffer(string: "event: section\ndata: ")
                buffer.writeBytes(text)
                buffer.writeString("\n\n")
                try await send(buffer)
                lastSent = .now
            }
            if lastSent + Self.silence < .now {
                try await send(ByteBuffer(string: ": \n\n"))
                lastSent = .now
            }
            try await Task.sleep(for: Self.interval)
        }
    }

    /// The sections that change by themselves. One that cannot be read now, such as on a busy catalog, is left out; after
    /// several failures in a row, it shows the reason.
    ///
    /// - Parameter failures: the failures in a row of each section.
    private func sections(_ failures: inout [DashboardSection: Int]) async -> [(DashboardSection, String)] {
        [
            await section(.tiers, data.tiers, &failures) { TierSection.html($0.tiers, $0.processes) },
            await section(.activity, data.activity, &failures, ActivitySection.html),
            await section(.events, data.events, &failures, EventSection.html),
        ].compactMap(\.self)
    }

    private func section<Value>(
        _ section: DashboardSection, _ value: Recent<Value>, _ failures: inout [DashboardSection: Int],
        _ html: (Value) -> HTML
    ) async -> (DashboardSection, String)? {
        do {
            let html = html(try await value.value)
            failures[section] = nil
            return (section, html.text)
        } catch {
            failures[section, default: 0] += 1
            guard failures[section, default: 0] >= Self.mostFailures else { return nil }
            return (section, FailureSection.html(error).text)
        }
    }
}
