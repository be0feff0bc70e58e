/// The squarified layout of a treemap (Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000): tiles whose areas are
/// proportional to their weights, in rows whose tiles are as near to squares as the order from large to small allows.
package enum Treemap {
    /// Divides a rectangle.
    ///
    /// - Parameter weights: numbers from 0; any other number counts as 0.
    /// - Returns: a tile for each weight, in the order of `weights`. Together the tiles cover the rectangle; the tile of
    ///   a weight of 0 has no area. All tiles are empty if all weights are 0.
    package static func tiles(_ weights: [Double], in rectangle: Rectangle) -> [Rectangle] {
        let weights = weights.map { $0.isFinite ? max($0, 0) : 0 }
        let total = weights.reduce(0, +)
        var tiles = [Rectangle](
            repeating: Rectangle(x: rectangle.x, y: rectangle.y, width: 0, height: 0), count: weights.count)
        guard total > 0, total.isFinite, rectangle.area > 0 else { return tiles }
        let scale = rectangle.area / total
        let order = weights.indices.filter { weights[$0] > 0 }.sorted { (weights[$1], $0) < (weights[$0], $1) }
        var rest = rectangle
        var start = 0
        while start < order.count {
            // A row is laid along the shorter side, and grows as long as that makes its worst tile squarer.
            let side = min(rest.width, rest.height)
            var end = start
            var sum = 0.0
            var worst = Double.infinity
            while end < order.count {
                let area = weights[order[end]] * scale
                let next = Self.worst(
                    largest: weights[order[start]] * scale, smallest: area, sum: sum + area, side: side)
                if end > start, next > worst { break }
                worst = next
                sum += area
                end += 1
            }
            place(order[start..<end], weights, scale, sum, isLast: end == order.count, in: &rest, &tiles)
            start = end
        }
        return tiles
    }

    /// The largest ratio of a long to a short side in a row of tiles.
    private static func worst(largest: Double, smallest: Double, sum: Double, side: Double) -> Double {
        let thickness = sum / side
        return max(thickness * thickness / smallest, largest / (thickness * thickness))
    }

    private static func place(
        _ row: ArraySlice<Int>, _ weights: [Double], _ scale: Double, _ sum: Double, isLast: Bool,
        in rest: inout Rectangle, _ tiles: inout [Rectangle]
    ) {
        let isColumn = rest.width >= rest.height
        let side = isColumn ? rest.height : rest.width
        let available = isColumn ? rest.width : rest.height
        // The last row takes what is left, so that no rounding leaves a gap.
        let thickness = isLast ? available : min(side > 0 ? sum / side : 0, available)
        var offset = 0.0
        for (place, index) in zip(row.indices, row) {
            let isEnd = place == row.endIndex - 1
            let length =
                isEnd ? max(side - offset, 0) : min(sum > 0 ? side * weights[index] * scale / sum : 0, side - offset)
            tiles[index] =
                isColumn
                ? Rectangle(x: rest.x, y: rest.y + offset, width: thickness, height: length)
                : Rectangle(x: rest.x + offset, y: rest.y, width: length, height: thickness)
            offset += length
        }
        if isColumn {
            rest.x += thickness
            rest.width = max(rest.width - thickness, 0)
        } else {
            rest.y += thickness
            rest.height = max(rest.height - thickness, 0)
        }
    }
}
