/// The width of text, which is estimated: no font is at hand where a picture is made.
package enum TextFit {
    /// The width of a text in units of the drawing, rather too wide than too narrow.
    static func width(_ text: String, size: Double, isBold: Bool = false) -> Double {
        let size = isBold ? size * 1.1 : size
        return text.unicodeScalars.reduce(0) {
            $0 + size * (narrow.contains($1) ? 0.36 : $1.value > 0x2E80 ? 1.05 : 0.62)
        }
    }

    /// The first of several texts that fits; if none does, the last one cut in its middle, or nil.
    package static func first(_ texts: [String], size: Double, width: Double, isBold: Bool = false) -> String? {
        texts.first { self.width($0, size: size, isBold: isBold) <= width }
            ?? texts.last.flatMap { fitted($0, size: isBold ? size * 1.1 : size, width: width) }
    }

    private static let narrow: Set<Unicode.Scalar> = [
        "i", "j", "l", "t", "f", "r", "I", ".", ",", ":", ";", "-", "/", "'", " ", "(", ")", "|",
    ]

    /// The text, cut in its middle if it is wider than `width`; nil if fewer than five characters of it fit.
    static func fitted(_ text: String, size: Double, width: Double) -> String? {
        if self.width(text, size: size) <= width { return text }
        let characters = Array(text)
        var kept = characters.count - 1
        while kept >= 4 {
            let cut = String(characters.prefix((kept + 1) / 2)) + "…" + String(characters.suffix(kept / 2))
            if self.width(cut, size: size) <= width { return cut }
            kept -= 1
        }
        return nil
    }
}
