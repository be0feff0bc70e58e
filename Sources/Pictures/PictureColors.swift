/// The colors of a picture. Each scale also differs in lightness, so that it can be read in grayscale.
package struct PictureColors: Sendable {
    /// The background; nil if the picture lies on a page's own.
    package let background: SVGValue?
    /// The color of text and axes.
    package let text: SVGValue
    /// The color of lines that help to read values.
    package let grid: SVGValue

    /// For a file: dark on white.
    package static let paper = PictureColors(background: "#ffffff", text: "#1b1f24", grid: "#d5d9de")
    /// For a page with a light and a dark form: the page's text color.
    package static let page = PictureColors(background: nil, text: "currentColor", grid: "#8883")

    /// Lines: seven colors that color-blind readers can tell apart (Okabe and Ito, 2008).
    static let lines: [SVGValue] = ["#0072b2", "#d55e00", "#009e73", "#9c4f96", "#b07b00", "#3f9fd6", "#5b5b5b"]

    /// Heat, from none to much, and the color of text on it.
    static let heat: [(fill: SVGValue, text: SVGValue)] = [
        ("#f2f4f7", "#1b1f24"), ("#ffe3b0", "#1b1f24"), ("#fdb863", "#1b1f24"), ("#e8702a", "#1b1f24"),
        ("#9e2a0b", "#ffffff"),
    ]
}
