import Support
import WeightStore

/// A self-contained HTML page: the treemap of a disk, and its groups as a table.
package struct DiskMapPage {
    let map: DiskMap

    package init(_ map: DiskMap) { self.map = map }

    private static let style = """
        body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 1rem auto; padding: 0 1rem; \
        color: #1b1f24; background: #ffffff } svg { width: 100%; height: auto; display: block } \
        table { border-collapse: collapse; width: 100% } th, td { padding: .3rem .6rem; text-align: right; \
        border-bottom: 1px solid #d5d9de } th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere }
        """

    package var html: String {
        var table = SVGElement("table").with(
            SVGElement("caption", text: "Bytes by the models that contain them, the largest first"),
            SVGElement("thead").with(
                SVGElement("tr").with(
                    SVGElement("th", ["scope": "col"], text: "Models"),
                    SVGElement("th", ["scope": "col"], text: "On disk"),
                    SVGElement("th", ["scope": "col"], text: "Not on disk"),
                    SVGElement("th", ["scope": "col"], text: "Use"))))
        var body = SVGElement("tbody")
        for group in map.groups {
            body.append(
                SVGElement("tr").with(
                    SVGElement(
                        "td",
                        text: group.models.isEmpty ? DiskMapPicture.name(group) : group.models.joined(separator: " + ")),
                    SVGElement("td", text: Quantity.bytes(group.sum.bytes)),
                    SVGElement("td", text: Quantity.bytes(group.sum.absentBytes)),
                    SVGElement("td", text: DiskMapPicture.uses(group.sum.heat))))
        }
        table.append(body)
        let page = SVGElement("html", ["lang": "en"]).with(
            SVGElement("head").with(
                SVGElement("meta", ["charset": "utf-8"]),
                SVGElement("title", text: DiskMapPicture.title),
                SVGElement("meta", ["name": "viewport", "content": "width=device-width"]),
                SVGElement("style", text: Self.style)),
            SVGElement("body").with(DiskMapPicture(map).drawing(), table))
        return "<!doctype html>\n" + page.xml + "\n"
    }
}
