import Support

/// A line of the table of models.
struct ModelRow: Sendable, Equatable, Encodable {
    let name: String
    /// The newest version; nil if none is complete.
    let version: Int?
    let revisions: Int
    let refs: [String]
    let isPinned: Bool
    /// Bytes of the newest version's files.
    let bytes: Int
    /// Of these, bytes that are not on disk.
    let absent: Int
    /// Of these, bytes of damaged and missing shards.
    let damaged: Int
    let layers: Int
    /// The number of uses.
    let uses: Int
    /// The last use, in seconds since 1970; nil if it was never used.
    let lastUse: Int?
    /// When the newest version was stored, in seconds since 1970.
    let stored: Int

    /// The part of the newest version that is on disk, from 0 to 1.
    var present: Double { bytes > 0 ? Double(max(bytes - absent, 0)) / Double(bytes) : revisions > 0 ? 1 : 0 }

    /// What is here, in a word.
    var state: String {
        if revisions == 0 { return "no version" }
        if damaged > 0 { return "damaged" }
        if absent == 0 { return "whole" }
        return absent < bytes ? "partial" : "not here"
    }
}

/// Which lines of the table are shown: search, order and page, from the query of the URL.
struct ModelSelection: Sendable, Equatable {
    enum Order: String, CaseIterable, Sendable {
        case name, size, here, uses, used, stored

        /// Whether the first click sorts in descending order.
        var isDescendingFirst: Bool { self != .name && self != .here }
    }

    /// The lines of a page.
    static let pageSize = 50
    /// The longest search.
    private static let mostCharacters = 200

    let search: String
    let order: Order
    let isDescending: Bool
    /// From 1.
    let page: Int

    init(search: String = "", order: Order = .name, isDescending: Bool = false, page: Int = 1) {
        self.search = String(search.prefix(Self.mostCharacters))
        self.order = order
        self.isDescending = isDescending
        self.page = max(page, 1)
    }

    /// The parameters of a link to another selection.
    func query(order: Order? = nil, isDescending: Bool? = nil, page: Int = 1) -> String {
        var parts: [String] = []
        if !search.isEmpty { parts.append("q=\(PercentEncoding.encode(search))") }
        let order = order ?? self.order
        let isDescending = isDescending ?? self.isDescending
        if order != .name || isDescending {
            parts.append("sort=\(order.rawValue)")
            parts.append("dir=\(isDescending ? "desc" : "asc")")
        }
        if page > 1 { parts.append("page=\(page)") }
        return parts.isEmpty ? "/" : "/?" + parts.joined(separator: "&")
    }

    /// The lines of the page, and how many lines match.
    func apply(to rows: [ModelRow]) -> (rows: [ModelRow], matches: Int, page: Int, pages: Int) {
        let words = search.lowercased().split(separator: " ")
        let found =
            words.isEmpty
            ? rows
            : rows.filter { row in
                let text = ([row.name] + row.refs + [row.state]).joined(separator: " ").lowercased()
                return words.allSatisfy { text.contains($0) }
            }
        let sorted = found.sorted { left, right in
            let isBefore: Bool? =
                switch order {
                case .name: nil
                case .size: Self.compare(left.bytes, right.bytes)
                case .here: Self.compare(left.present, right.present)
                case .uses: Self.compare(left.uses, right.uses)
                case .used: Self.compare(left.lastUse ?? 0, right.lastUse ?? 0)
                case .stored: Self.compare(left.stored, right.stored)
                }
            if let isBefore { return isBefore != isDescending }
            // Equal values are in the order of the names.
            return (left.name < right.name) != (order == .name && isDescending)
        }
        let pages = max((sorted.count + Self.pageSize - 1) / Self.pageSize, 1)
        let page = min(self.page, pages)
        return (Array(sorted.dropFirst((page - 1) * Self.pageSize).prefix(Self.pageSize)), sorted.count, page, pages)
    }

    private static func compare<Value: Comparable>(_ left: Value, _ right: Value) -> Bool? {
        left == right ? nil : left < right
    }
}
