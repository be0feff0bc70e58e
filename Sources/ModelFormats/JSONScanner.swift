/// A strict JSON reader (RFC 8259) that makes one pass over the bytes and builds no tree.
///
/// The caller requests the next element by type (`beginObject`, `key`, `string`, `integer` …) or skips a value. Time
/// and memory are linear in the number of bytes; nesting is limited. Positions in errors are offsets in the file.
struct JSONScanner: ~Copyable {
    /// The deepest nesting of values. The formats read here need three levels.
    static let maximumDepth = 64

    private let file: String
    private let bytes: [UInt8]
    /// The position of `bytes` in the file.
    private let base: Int
    private var position = 0
    private var stringStart = 0

    /// - Parameters:
    ///   - file: The file's name, for errors.
    ///   - bytes: The JSON text.
    ///   - base: The position of the text in the file, in bytes.
    init(file: String, bytes: [UInt8], base: Int) {
        self.file = file
        self.bytes = bytes
        self.base = base
    }

    /// The position of the next byte, in bytes from the start of the file.
    package var offset: Int { base + position }

    /// The position of the last string or key that was read, in bytes from the start of the file.
    var stringOffset: Int { base + stringStart }

    private func error(_ problem: FormatError.JSONProblem, at position: Int? = nil) -> FormatError {
        FormatError(file: file, offset: base + (position ?? self.position), problem: .json(problem))
    }

    // MARK: Structure

    /// The next byte that is not white space, without consuming it; nil at the end.
    mutating func peek() -> UInt8? {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
            position += 1
        }
        return nil
    }

    private mutating func consume(_ byte: UInt8, _ what: @autoclosure () -> String) throws(FormatError) {
        guard peek() == byte else { throw error(.expected(what())) }
        position += 1
    }

    mutating func beginObject() throws(FormatError) { try consume(UInt8(ascii: "{"), "an object") }
    mutating func beginArray() throws(FormatError) { try consume(UInt8(ascii: "["), "an array") }

    /// The next key of the current object, or nil at its end. Consumes the colon after the key.
    package mutating func key(first: inout Bool) throws(FormatError) -> String? {
        guard try another(closing: UInt8(ascii: "}"), first: &first) else { return nil }
        let key = try string()
        try consume(UInt8(ascii: ":"), "\":\"")
        return key
    }

    /// Whether the current array has another element.
    package mutating func element(first: inout Bool) throws(FormatError) -> Bool {
        try another(closing: UInt8(ascii: "]"), first: &first)
    }

    private mutating func another(closing: UInt8, first: inout Bool) throws(FormatError) -> Bool {
        defer { first = false }
        if peek() == closing {
            position += 1
            return false
        }
        if !first { try consume(UInt8(ascii: ","), "\",\" or \"\(Unicode.Scalar(closing))\"") }
        return true
    }

    /// Checks that only white space is left.
    package mutating func end() throws(FormatError) {
        guard peek() == nil else { throw error(.expected("the end of the JSON text")) }
    }

    // MARK: Literals

    /// Consumes `null` if it is the next value; returns whether it was.
    mutating func null() throws(FormatError) -> Bool {
        guard peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    private mutating func literal(_ text: StaticString) throws(FormatError) {
        let length = text.utf8CodeUnitCount
        guard bytes.count - position >= length,
            (0..<length).allSatisfy({ bytes[position + $0] == text.utf8Start[$0] })
        else { throw error(.expected("a JSON value")) }
        position += length
    }

    // MARK: Numbers

    /// A nonnegative integer that fits an `Int`, written without fraction or exponent.
    package mutating func integer() throws(FormatError) -> Int {
        guard let byte = peek(), byte &- 0x30 <= 9 else {
            throw error(.expected("a nonnegative integer"))
        }
        let start = position
        var value = 0
        while position < bytes.count, case let digit = bytes[position] &- 0x30, digit <= 9 {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(digit))
            guard !overflow, !carry else { throw error(.numberTooLarge, at: start) }
            value = sum
            position += 1
        }
        guard bytes[start] != 0x30 || position == start + 1 else {
            throw error(.badNumber, at: start)
        }
        if position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
                throw error(.expected("a nonnegative integer"), at: start)
            default: break
            }
        }
        return value
    }

    /// Any JSON number that a `Double` can hold.
    package mutating func number() throws(FormatError) -> Double {
        guard let byte = peek(), byte == UInt8(ascii: "-") || byte &- 0x30 <= 9 else {
            throw error(.expected("a number"))
        }
        let start = position
        _ = skip(UInt8(ascii: "-"))
        let whole = position
        guard digits() > 0, bytes[whole] != 0x30 || position == whole + 1 else {
            throw error(.badNumber, at: start)
        }
        if skip(UInt8(ascii: ".")), digits() == 0 { throw error(.badNumber, at: start) }
        if skip(UInt8(ascii: "e")) || skip(UInt8(ascii: "E")) {
            if !skip(UInt8(ascii: "+")) { _ = skip(UInt8(ascii: "-")) }
            if digits() == 0 { throw error(.badNumber, at: start) }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        guard let value = Double(text), value.isFinite else { throw error(.numberTooLarge, at: start) }
        return value
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func digits() -> Int {
        let start = position
        while position < bytes.count, bytes[position] &- 0x30 <= 9 { position += 1 }
        return position - start
    }

    // MARK: Any value

    /// Skips one value of any kind, with all checks.
    mutating func skipValue() throws(FormatError) { try skipValue(depth: 0) }

    private mutating func skipValue(depth: Int) throws(FormatError) {
        guard depth < Self.maximumDepth else { throw error(.tooDeep(limit: Self.maximumDepth)) }
        var first = true
        switch peek() {
        case UInt8(ascii: "{"):
            try beginObject()
            while try key(first: &first) != nil { try skipValue(depth: depth + 1) }
        case UInt8(ascii: "["):
            try beginArray()
            while try element(first: &first) { try skipValue(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        case let byte? where byte == UInt8(ascii: "-") || byte &- 0x30 <= 9: _ = try number()
        default: throw error(.expected("a JSON value"))
        }
    }

    // MARK: Strings

    /// A string, with its escape sequences decoded.
    package mutating func string() throws(FormatError) -> String {
        try consume(UInt8(ascii: "\""), "a string")
        let start = position
        stringStart = start - 1
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let text = try text(bytes[start..<position], at: start)
                position += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try stringWithEscapes(from: start) }
            guard byte >= 0x20 else { throw error(.controlCharacter(byte)) }
            position += 1
        }
        throw error(.unterminatedString, at: start)
    }

    private func text(_ utf8: some Sequence<UInt8>, at start: Int) throws(FormatError) -> String {
        guard let text = String(validating: utf8, as: UTF8.self) else {
            throw error(.invalidUTF8, at: start)
        }
        return text
    }

    /// The rest of a string whose first escape is at `position`.
    private mutating func stringWithEscapes(from start: Int) throws(FormatError) -> String {
        var utf8 = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                let text = try text(utf8, at: start)
                position += 1
                return text
            case UInt8(ascii: "\\"):
                try utf8.append(contentsOf: escape().utf8)
            default:
                guard byte >= 0x20 else { throw error(.controlCharacter(byte)) }
                utf8.append(byte)
                position += 1
            }
        }
        throw error(.unterminatedString, at: start)
    }

    /// The character of the escape sequence at `position`.
    private mutating func escape() throws(FormatError) -> Unicode.Scalar {
        let start = position
        guard position + 1 < bytes.count else { throw error(.badEscape, at: start) }
        position += 2
        switch bytes[start + 1] {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            var code = try hexadecimal(escapeAt: start)
            if 0xD800...0xDBFF ~= code {
                guard skip(UInt8(ascii: "\\")), skip(UInt8(ascii: "u")) else {
                    throw error(.badEscape, at: start)
                }
                let low = try hexadecimal(escapeAt: start)
                guard 0xDC00...0xDFFF ~= low else { throw error(.badEscape, at: start) }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error(.badEscape, at: start) }
            return scalar
        default: throw error(.badEscape, at: start)
        }
    }

    private mutating func hexadecimal(escapeAt start: Int) throws(FormatError) -> UInt32 {
        guard bytes.count - position >= 4 else { throw error(.badEscape, at: start) }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw error(.badEscape, at: start)
            }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}
