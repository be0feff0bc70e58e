/// A rectangle of a picture. `y` grows downward.
package struct Rectangle: Sendable, Equatable {
    package var x: Double
    package var y: Double
    package var width: Double
    package var height: Double

    package init(x: Double, y: Double, width: Double, height: Double) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }

    package var area: Double { width * height }

    /// The rectangle without a margin; as narrow as 0.
    package func inset(by margin: Double, top: Double? = nil) -> Rectangle {
        let top = top ?? margin
        return Rectangle(
            x: x + margin, y: y + top, width: max(width - 2 * margin, 0), height: max(height - margin - top, 0))
    }
}
