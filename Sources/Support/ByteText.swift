/// A text that is compared byte by byte, as file systems and SQLite do.
///
/// Two `String`s are equal if they are canonically equivalent in Unicode, so "é" as one code point and as two are one key
/// of a dictionary, but two names of files. Names from outside (paths, refs, names of tensors, keys) are therefore
/// compared, sorted and looked up as `ByteText`, never as `String`.
///
/// A comparison of a `String` with a literal is safe if the literal is ASCII and contains none of `;`, `K` and `` ` ``:
/// no other ASCII character is canonically equivalent to one outside of ASCII.
package struct ByteText: Hashable, Comparable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }

    package static func == (left: ByteText, right: ByteText) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    package static func < (left: ByteText, right: ByteText) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension ByteText: ExpressibleByStringLiteral {
    package init(stringLiteral text: String) { self.text = text }
}

extension ByteText: CustomStringConvertible {
    package var description: String { text }
}

/// Texts are split and compared by bytes: a `Character` may join a separator and a combining mark after it.
extension StringProtocol {
    /// Whether the bytes of the text begin with those of `prefix`.
    package func hasBytePrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

    /// Whether the bytes of the text end with those of `suffix`.
    package func hasByteSuffix(_ suffix: String) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }

    /// The text after the bytes of `prefix`; nil if it begins otherwise.
    package func dropping(bytePrefix prefix: String) -> String? {
        hasBytePrefix(prefix) ? String(decoding: utf8.dropFirst(prefix.utf8.count), as: UTF8.self) : nil
    }

    /// The text before the bytes of `suffix`; nil if it ends otherwise.
    package func dropping(byteSuffix suffix: String) -> String? {
        hasByteSuffix(suffix) ? String(decoding: utf8.dropLast(suffix.utf8.count), as: UTF8.self) : nil
    }

    /// The parts between the occurrences of an ASCII separator; empty parts are kept.
    ///
    /// - Parameter maxSplits: the most separators that are used.
    package func byteParts(_ separator: Unicode.Scalar, maxSplits: Int = .max) -> [String] {
        utf8.split(separator: UInt8(ascii: separator), maxSplits: maxSplits, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// The text with another in place of each code point for which `replacement` has one.
    ///
    /// Escapes use this and never `replacing(_:with:)`, which compares Characters: a line feed after a carriage return, and
    /// a quotation mark before a combining mark, are parts of other Characters.
    package func replacing(scalars replacement: (Unicode.Scalar) -> String?) -> String {
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if let text = replacement(scalar) {
                result.append(contentsOf: text.unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    /// The text between two quotation marks, with each that it contains doubled, as SQL quotes.
    package func quoted(doubling mark: Unicode.Scalar) -> String {
        "\(mark)" + replacing(scalars: { $0 == mark ? "\(mark)\(mark)" : nil }) + "\(mark)"
    }

    /// Whether each byte is an ASCII letter, an ASCII digit or one of `others`.
    package func isASCIIWord(and others: String = "") -> Bool {
        utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"):
                true
            default: others.utf8.contains(byte)
            }
        }
    }
}
