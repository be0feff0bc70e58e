import Pictures

/// The rectangles of a level of the map on a screen. All are large enough to be touched: as many of the largest tiles as have
/// room are drawn to scale, and one is for the others and leads to them.
struct MapLayout {
    /// A kind of screen. Lengths are in pixels of CSS.
    struct Screen {
        let width: Double
        let height: Double
        /// The shortest side of a rectangle.
        let leastSide: Double
        /// The class of the picture.
        let style: HTML

        /// For the map on a screen of 1,280 pixels; on one of 640, a side is half as long.
        static let wide = Screen(width: 1200, height: 552, leastSide: 40, style: "wide-screen")
        /// For the map on a screen of 390 pixels.
        static let phone = Screen(width: 340, height: 420, leastSide: 28, style: "phone-screen")
    }

    /// The area of the rectangle for the others, as a multiple of that of the tiles beside it: large enough to be touched, and
    /// not so large that the tiles beside it cannot be.
    private static let areaOfOthers = 0.08...0.25

    let screen: Screen
    private(set) var tiles: [(tile: MapLevel.Tile, box: Rectangle)] = []
    /// Whether the area of every rectangle is its size. That of the last one may not be.
    private(set) var isToScale = true

    init(_ level: MapLevel, on screen: Screen) {
        self.screen = screen
        let frame = Rectangle(x: 0, y: 0, width: screen.width, height: screen.height)
        var count = level.tiles.count
        while true {
            let tiles = level.largest(count)
            var weights = tiles.map { Double($0.bytes) }
            if count < level.tiles.count || level.merged > 0, let others = weights.popLast() {
                let shown = weights.reduce(0, +)
                let drawn = min(
                    max(others, Self.areaOfOthers.lowerBound * shown), Self.areaOfOthers.upperBound * shown)
                isToScale = drawn == others
                weights.append(drawn)
            }
            let boxes = Treemap.tiles(weights, in: frame)
            if count <= 1 || boxes.allSatisfy({ min($0.width, $0.height) >= screen.leastSide }) {
                self.tiles = zip(tiles, boxes).map { (tile: $0, box: $1) }
                return
            }
            count = min(count - 1, count * 9 / 10)
        }
    }
}
