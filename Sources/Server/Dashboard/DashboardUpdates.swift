import Foundation
import NIOCore
import ServiceLifecycle
import Support
import Synchronization
import WeightStore
import WireFormats

/// The stream of changes: server-sent events with the sections of `/`, or the page of a model, that differ from those sent
/// before.
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
    private let model: String?
    private let streams: Shared<Atomic<Int>>
    private let readers: ModelPageReaders

    /// - Parameters:
    ///   - model: the model whose page is sent; nil for the sections of `/`.
    ///   - streams: the number of streams of the server.
    ///   - readers: those of the server, for its streams together.
    init(_ data: DashboardData, model: String?, streams: Shared<Atomic<Int>>, readers: ModelPageReaders) {
        self.data = data
        self.model = model
        self.streams = streams
        self.readers = readers
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
        let reader = model.map { readers.begin($0) }
        defer { if let model { readers.end(model) } }
        let start = ContinuousClock.now
        let end = start + Self.longest
        var lastSent = ContinuousClock.now
        var sent: [String: String] = [:]
        var models: [ModelRow]?
        var failures: [String: Int] = [:]
        while ContinuousClock.now < end, !Task.isShuttingDownGracefully {
            // Before the sections: who has received these hears of every later change of the models. A failure is tried again.
            if model == nil, let rows = try? await data.models.value {
                if let models, models != rows {
                    try await send(ByteBuffer(string: "event: models\ndata: 1\n\n"))
                    lastSent = .now
                }
                models = rows
            }
            let sections =
                if let reader { await page(reader, since: start, &failures) } else { await overview(&failures) }
            for section in sections where sent[section.id] != section.html {
                sent[section.id] = section.html
                let text = try JSONEncoder().encode(section)
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

    /// The sections of `/` that change by themselves. One that cannot be read now, such as on a busy catalog, is left out;
    /// after several failures in a row, it shows the reason.
    ///
    /// - Parameter failures: the failures in a row of each section.
    private func overview(_ failures: inout [String: Int]) async -> [Section] {
        [
            await section(DashboardSection.tiers.element, &failures) {
                let tiers = try await data.tiers.value
                return TierSection.html(tiers.tiers, tiers.processes)
            },
            await section(DashboardSection.activity.element, &failures) {
                ActivitySection.html(try await data.activity.value)
            },
            await section(DashboardSection.events.element, &failures) {
                EventSection.html(try await data.events.value)
            },
        ].compactMap(\.self)
    }

    /// The page of a model. Its failures are those of a section of `/`.
    private func page(
        _ reader: ModelPageReader, since start: ContinuousClock.Instant, _ failures: inout [String: Int]
    ) async -> [Section] {
        do {
            let html = try await reader.html(since: start)
            failures[ModelPage.element] = nil
            return [Section(id: ModelPage.element, html: html)]
        } catch StorageError.notFound {
            failures[ModelPage.element] = nil
            return [Section(id: ModelPage.element, html: "<p class=\"nothing\">The model was removed.</p>")]
        } catch {
            return failure(error, of: ModelPage.element, &failures).map { [$0] } ?? []
        }
    }

    private func section(
        _ id: String, _ failures: inout [String: Int], _ html: () async throws -> HTML
    ) async -> Section? {
        do {
            let html = try await html()
            failures[id] = nil
            return Section(id: id, html: html.text)
        } catch {
            return failure(error, of: id, &failures)
        }
    }

    /// Counts a failure of a section. After several in a row, the section shows the reason.
    private func failure(_ error: any Error, of id: String, _ failures: inout [String: Int]) -> Section? {
        failures[id, default: 0] += 1
        guard failures[id, default: 0] >= Self.mostFailures else { return nil }
        return Section(id: id, html: FailureSection.html(error).text)
    }
}
