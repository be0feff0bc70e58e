import Crypto
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Support
import Synchronization
import WeightStore
import WireFormats

/// The pages for people: `/`, its sections, and a page for each model. They only read.
///
/// The page `/` waits for no sum over all shards: what is not ready after ``patience``, and what is always costly, the script
/// loads afterwards, or a link leads to it. The script then replaces sections by those that the stream of changes sends.
struct Dashboard: Sendable {
    /// How long `/` waits for its sections.
    private static let patience = Duration.milliseconds(120)

    private let data: DashboardData
    private let hasFleet: Bool
    private let logger: Logger
    private let streams = Shared(Atomic<Int>(0))
    private let readers: ModelPageReaders

    init(_ data: DashboardData, logger: Logger) {
        self.data = data
        readers = ModelPageReaders(data)
        self.logger = logger
        hasFleet = data.fleet != nil
    }

    func answer(_ route: DashboardRoute, _ request: Request) async throws -> Answer {
        let query = Query(request.uri.query ?? "")
        switch route {
        case .overview: return try await readable(request, query) { try await overview(query) }
        case .section(let section): return try await readable(request, query) { try await page(section, query) }
        case .model(let name):
            return try await readable(request, query) {
                let details = try await data.details(of: name)
                return try await document("\(name) – WeightStore", at: nil, ModelPage.html(details))
            }
        case .details(let name): return try .json(try await data.details(of: name))
        case .data(let section): return try await json(section, query)
        case .updates: return updates(of: query["model"])
        }
    }

    // MARK: Pages

    /// A page, or one with the reason if the store cannot be read. Its reader may read the whole store, so the reason may
    /// name models and paths.
    private func readable(
        _ request: Request, _ query: Query, _ body: () async throws -> Answer
    ) async throws -> Answer {
        do {
            return try await body()
        } catch {
            let failure = HubError(error)
            guard failure.isOfServer else { throw error }
            logger.error("\(AccessLine.printable(request.uri.path)): \(error)")
            let html = FailureSection.html(error)
            if query["part"] != nil { return fragment(html, failure.status) }
            return try await document(
                "Failure – WeightStore", at: nil, "<h1>This page cannot be shown</h1><section>\(html)</section>",
                failure.status)
        }
    }

    private func overview(_ query: Query) async throws -> Answer {
        let selection = ModelSelection(query)
        // The script wants the lines of the table alone.
        if query["part"] == "rows" {
            return fragment(ModelSection.rows(try await data.models.value, selection))
        }
        async let tiers = data.tiers.outcome(within: Self.patience)
        async let activity = data.activity.outcome(within: Self.patience)
        async let models = data.models.outcome(within: Self.patience)
        async let events = data.events.outcome(within: Self.patience)
        var parts = OverviewParts()
        parts.add(.tiers, try await tiers) { TierSection.html($0.tiers, $0.processes) }
        parts.add(.activity, try await activity, ActivitySection.html)
        parts.add(.models, try await models) { ModelSection.html($0, selection) }
        parts.add(.events, try await events, EventSection.html)
        for (section, error) in parts.failures { logger.error("/, \(section.title): \(error)") }
        let page = OverviewPage(
            ready: parts.ready, all: DashboardSection.allCases.filter { $0 != .fleet || hasFleet })
        let status = parts.isUnreadable ? parts.failures.first.map { HubError($0.error).status } : nil
        return try await document("WeightStore", at: .overview, page.html, status ?? .ok)
    }

    /// A section alone: as a page, or for the script.
    private func page(_ section: DashboardSection, _ query: Query) async throws -> Answer {
        let html = try await html(section, query)
        if query["part"] != nil { return fragment(html) }
        let live: HTML = section.isLive ? " data-live" : ""
        return try await document(
            "\(section.title) – WeightStore", at: DashboardDocument.Place(rawValue: section.address),
            """
            <h1 class="visually-hidden">Part of the overview</h1>\
            <section aria-labelledby="\(section.rawValue)-title"><h2 id="\(section.rawValue)-title">\(section.title)</h2>
            <div id="\(section.element)"\(live)>\(html)</div></section>
            """)
    }

    private func html(_ section: DashboardSection, _ query: Query) async throws -> HTML {
        switch section {
        case .tiers:
            let tiers = try await data.tiers.value
            return TierSection.html(tiers.tiers, tiers.processes)
        case .activity: return ActivitySection.html(try await data.activity.value)
        case .models:
            let (rows, selection) = (try await data.models.value, ModelSelection(query))
            return query["part"] == "rows"
                ? ModelSection.rows(rows, selection) : ModelSection.html(rows, selection)
        case .events: return EventSection.html(try await data.events.value)
        case .disk: return MapSection.html(try await level(query))
        case .sizing:
            guard let sizing = try await data.sizing.value else { return SizingSection.unrecorded }
            return SizingSection.html(sizing)
        case .fleet:
            guard let fleet = data.fleet else { throw HubError.noPage }
            return FleetSection.html(try await fleet.value)
        }
    }

    private func level(_ query: Query) async throws -> MapLevel {
        guard let start = Int(decimal: query["from"] ?? "0") else { throw HubError.noPage }
        let level = try await level(query, from: start)
        if start > 0, level.tiles.isEmpty { throw HubError.noPage }
        return level
    }

    private func level(_ query: Query, from start: Int) async throws -> MapLevel {
        guard let model = query["model"], !model.isEmpty else {
            return MapLevel(models: try await data.map.value, from: start)
        }
        guard let layer = query["layer"] else {
            return MapLevel(layers: try await data.map(of: model, depth: .layers), of: model, from: start)
        }
        let number = Int(decimal: layer)
        guard number != nil || layer == MapLevel.outside else { throw HubError.noPage }
        return MapLevel(
            shards: try await data.map(of: model, depth: .shards), of: model, layer: number,
            holding: try await data.contents(ofLayer: number, of: model), from: start)
    }

    private func json(_ section: DashboardSection, _ query: Query) async throws -> Answer {
        switch section {
        case .tiers: return try .json(try await data.tiers.value)
        case .activity: return try .json(try await data.activity.value)
        case .models:
            let found = ModelSelection(query).apply(to: try await data.models.value)
            return try .json(
                ModelPageData(models: found.rows, matches: found.matches, page: found.page, pages: found.pages))
        case .events: return try .json(try await data.events.value)
        case .disk: return try .json(try await level(query))
        case .sizing: return try .json(try await data.sizing.value)
        case .fleet:
            guard let fleet = data.fleet else { throw HubError.noPage }
            return try .json(try await fleet.value)
        }
    }

    private struct ModelPageData: Encodable {
        let models: [ModelRow]
        let matches: Int
        let page: Int
        let pages: Int
    }

    private func document(
        _ title: String, at place: DashboardDocument.Place?, _ content: HTML, _ status: HTTPResponse.Status = .ok
    ) async throws -> Answer {
        let tiers = try await data.tiers.value(within: Self.patience)
        let headline: HTML =
            tiers.map { "\(Quantity.count($0.models, "model")) · \(Quantity.bytes($0.stored)) stored" } ?? ""
        let page = DashboardDocument(title: title, place: place, headline: headline, content: content)
        return answer(page.html, policy: Self.policy, status)
    }

    /// A part of a page, which the script inserts. Opened as a page, it has no style.
    private func fragment(_ html: HTML, _ status: HTTPResponse.Status = .ok) -> Answer {
        answer(html, policy: "default-src 'none'; frame-ancestors 'none'", status)
    }

    private func answer(_ html: HTML, policy: String, _ status: HTTPResponse.Status) -> Answer {
        var answer = Answer.text(html.text, type: "text/html; charset=utf-8")
        answer.status = status
        answer.fields[.contentSecurityPolicy] = policy
        answer.fields[.xContentTypeOptions] = "nosniff"
        answer.fields[.referrerPolicy] = "no-referrer"
        answer.fields[.resourcePolicy] = "same-origin"
        answer.fields[.openerPolicy] = "same-origin"
        return answer
    }

    /// This style, this script, and requests to this server.
    private static let policy: String = {
        func hash(_ asset: DashboardAsset) -> String {
            "'sha256-\(Data(SHA256.hash(data: Data(asset.text.utf8))).base64EncodedString())'"
        }
        return "default-src 'none'; style-src \(hash(.style)); script-src \(hash(.script)); connect-src 'self'; "
            + "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    }()

    // MARK: Changes

    /// - Parameter model: the model whose page is shown; nil for the sections of `/`.
    private func updates(of model: String?) -> Answer {
        Answer(
            fields: [
                .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-store",
                .xContentTypeOptions: "nosniff",
            ], body: .updates(DashboardUpdates(data, model: model, streams: streams, readers: readers)))
    }
}

extension HTTPField.Name {
    fileprivate static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
    fileprivate static let resourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
    fileprivate static let openerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
}

extension ModelSelection {
    init(_ query: Query) {
        self.init(
            search: query["q"] ?? "", order: query["sort"].flatMap(Order.init) ?? .name,
            isDescending: query["dir"] == "desc", page: query["page"].flatMap { Int(decimal: $0) } ?? 1)
    }
}
