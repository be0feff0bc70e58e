/// The squarified treemap of Bruls, Huizing and van Wijk (2000): rectangles with given areas that fill a rectangle, and
/// are as nearly square as the order allows.
enum Squarified {
    /// A rectangle.
    struct Box: Sendable, Equatable {
        var x: Double
        var y: Double
        var width: Double
        var height: Double

        var area: Double { width * height }
    }

    /// The rectangles of some weights.
    ///
    /// - Parameter weights: in descending order; those that are not positive get no area.
    /// - Returns: one rectangle for each weight.
    static func layout(_ weights: [Double], in box: Box) -> [Box] {
        let total = weights.reduce(0) { $0 + max($1, 0) }
        guard total > 0, box.area > 0 else {
            return weights.map { _ in Box(x: box.x, y: box.y, width: 0, height: 0) }
        }
        let areas = weights.map { max($0, 0) / total * box.area }
        var boxes: [Box] = []
        boxes.reserveCapacity(areas.count)
        var rest = box
        var start = 0
        while start < areas.count {
            let side = min(rest.width, rest.height)
            var end = start + 1
            var sum = areas[start]
            var worst = ratio(of: areas[start], areas[start], sum, side)
            while end < areas.count {
                let next = ratio(of: areas[start], areas[end], sum + areas[end], side)
                if next > worst { break }
                worst = next
                sum += areas[end]
                end += 1
            }
            place(areas[start..<end], sum, in: &rest, &boxes)
            start = end
        }
        return boxes
    }

    /// The worst ratio of the sides in a row whose largest and smallest areas are given.
    private static func ratio(of largest: Double, _ smallest: Double, _ sum: Double, _ side: Double) -> Double {
        guard sum > 0, smallest > 0, side > 0 else { return .infinity }
        let square = side * side
        return max(square * largest / (sum * sum), sum * sum / (square * smallest))
    }

    /// Places a row along the shorter side, and removes it from the rest.
    private static func place(_ areas: ArraySlice<Double>, _ sum: Double, in rest: inout Box, _ boxes: inout [Box]) {
        let isColumn = rest.width >= rest.height
        let side = isColumn ? rest.height : rest.width
        let depth = side > 0 ? min(sum / side, isColumn ? rest.width : rest.height) : 0
        var position = isColumn ? rest.y : rest.x
        for area in areas {
            let length = depth > 0 ? area / depth : 0
            boxes.append(
                isColumn
                    ? Box(x: rest.x, y: position, width: depth, height: length)
                    : Box(x: position, y: rest.y, width: length, height: depth))
            position += length
        }
        if isColumn {
            rest.x += depth
            rest.width -= depth
        } else {
            rest.y += depth
            rest.height -= depth
        }
    }
}
