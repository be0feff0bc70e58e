import Foundation
import WeightStore

/// The overview as HTML: the models, and the savings by deduplication. Without scripts and external resources.
enum Page {
    static func html(usage: StoreUsage) -> String {
        let rows = usage.models.map { model in
            """
            <tr><td><a href="/api/models/\(PercentEncoding.encode(model.model, keepingSlashes: true))">\(escape(model.model))</a></td>\
            <td>\(model.revisions)</td><td>\(Quantity.bytes(model.logical))</td><td>\(Quantity.bytes(model.stored))</td>\
            <td>\(Quantity.bytes(model.shared))</td><td>\(Quantity.bytes(model.own))</td></tr>
            """
        }.joined(separator: "\n")
        let share =
            usage.logical > 0 ? Int(saturating: Double(usage.saved) / Double(max(usage.logicalStored, 1)) * 100) : 0
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><title>WeightStore</title>
            <meta name="viewport" content="width=device-width">
            <meta name="color-scheme" content="light dark">
            <style>
            body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
            table { border-collapse: collapse; width: 100% }
            th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent) }
            th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere }
            td { font-variant-numeric: tabular-nums }
            a { color: inherit }
            meter { width: 100% }
            </style></head><body>
            <h1>WeightStore</h1>
            <p>\(usage.models.count) models, \(Quantity.bytes(usage.logical)) of files, stored in
            \(Quantity.bytes(usage.stored)): \(Quantity.bytes(usage.saved)) saved (\(share) %).</p>
            <meter min="0" max="100" value="\(share)" aria-label="saved">\(share) %</meter>
            <table><thead><tr><th>Model<th>Revisions<th>Files<th>Stored<th>Shared<th>Own</tr></thead><tbody>
            \(rows)
            </tbody></table>
            <p>Stored: the distinct shards of a model. Shared: the part of them that other models hold, too. Own: the
            bytes that removing the model would free. <a href="/metrics">Metrics</a></p>
            </body></html>

            """
    }

    private static func escape(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing("\"", with: "&quot;")
    }
}
