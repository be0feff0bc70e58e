import Support

/// The nodes of a fleet, and the version of each model on each.
enum FleetSection {
    static func html(_ fleet: FleetOverview) -> HTML {
        if fleet.nodes.isEmpty { return "<p class=\"nothing\">No node has announced itself.</p>" }
        let names = Set(fleet.nodes.flatMap { $0.holdings.map(\.name) }).sorted()
        let heads: [HTML] = names.map { "<th scope=\"col\">\($0)</th>" }
        let rows: [HTML] = fleet.nodes.map { node in
            let missing = node.holdings.saturatingSum(\.missing)
            let behind = node.holdings.count { !$0.isCurrent }
            let health: HTML =
                if let failure = node.failure {
                    HealthMark.html(.critical, [failure])
                } else if node.changes == nil {
                    HealthMark.html(.warning, ["has not reported yet"])
                } else if behind > 0 {
                    HealthMark.html(.warning, ["\(Quantity.count(behind, "ref")) behind"])
                } else {
                    HealthMark.html(.good, [])
                }
            let cells: [HTML] = names.map { name in cell(node.holdings.first { $0.name == name }) }
            return """
                <tr><th scope="row">\(node.name)<small>\(node.url)</small></th><td>\(health)</td>\
                <td class="number">\(missing > 0 ? Quantity.bytes(missing) : "0")</td>\
                <td>\(node.changes ?? "–")</td>\(cells)</tr>
                """
        }
        return """
            <p class="note">Bucket: \(fleet.origin)</p>
            <div class="scroll" tabindex="0" role="region" aria-label="Nodes of the fleet"><table class="plain"><thead><tr>\
            <th scope="col">Node</th><th scope="col">State</th><th scope="col" class="number">Bytes to go</th>\
            <th scope="col">Changes by</th>\(heads)</tr></thead><tbody>\(rows)</tbody></table></div>
            """
    }

    private static func cell(_ holding: FleetOverview.Holding?) -> HTML {
        guard let holding else { return "<td class=\"dim\">not followed</td>" }
        let held = holding.held.map { "~\($0)" } ?? "none"
        guard !holding.isCurrent else { return "<td>\(held)</td>" }
        let wanted = holding.wanted.map { "~\($0)" } ?? "removed"
        let lag = holding.wanted.flatMap { wanted in holding.held.map { wanted - $0 } } ?? 0
        let behind = lag > 0 ? ", \(Quantity.count(lag, "version")) behind" : ""
        return """
            <td class="behind">\(held) → \(wanted)<small>\(Quantity.bytes(holding.missing)) to go\(behind)</small></td>
            """
    }
}
