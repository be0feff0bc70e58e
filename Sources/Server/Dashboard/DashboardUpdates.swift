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
    /// The page of a model in use changes all the time: between two readings, a stream rests for this multiple of a reading.
    private static let rest = 10
    /// The page of a model is read again after this time also if nothing has changed: it has ages.
    private static let longestAge = Duration.seconds(60)

    private struct Section: Encodable {
        let id: String
        let html: String
    }

    /// The page of a model when it was read.
    private struct ModelReading {
        let state: DashboardData.ModelState
        let time: ContinuousClock.Instant
        /// How long the reading took.
        let duration: Duration
    }

    private let data: DashboardData
    private let model: String?
    private let streams: Shared<Atomic<Int>>

    /// - Parameter model: the model whose page is sent; nil for the sections of `/`.
    init(_ data: DashboardData, model: String?, streams: Shared<Atomic<Int>>) {
        self.data = data
        self.model = model
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
        var sent: [String: String] = [:]
        var models: [ModelRow]?
        var failures: [String: Int] = [:]
        var reading: ModelReading?
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
                if let model { await page(of: model, &reading, &failures) } else { await overview(&failures) }
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

    /// The page of a model, unless it is as before. Its failures are those of a section of `/`.
    private func page(
        of model: String, _ reading: inout ModelReading?, _ failures: inout [String: Int]
    ) async -> [Section] {
        do {
            let state = try await data.state(of: model)
            let start = ContinuousClock.now
            if let reading {
                let pause = reading.state == state ? Self.longestAge : reading.duration * Self.rest
                if reading.time + pause > start { return [] }
            }
            let html = ModelPage.body(try await data.details(of: model))
            reading = ModelReading(state: state, time: .now, duration: .now - start)
            failures[ModelPage.element] = nil
            return [Section(id: ModelPage.element, html: html.text)]
        } catch StorageError.notFound {
            (reading, failures[ModelPage.element]) = (nil, nil)
            return [Section(id: ModelPage.element, html: "<p class=\"nothing\">The model was removed.</p>")]
        } catch {
            // The next reading is sent, even if the state is as before.
            reading = nil
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
