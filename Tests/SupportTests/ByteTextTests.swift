import Support
import Testing

/// Texts from outside are compared and split by bytes.
struct ByteTextTests {
    private let nfc = "caf\u{E9}"
    private let nfd = "cafe\u{301}"

    @Test("two texts that Unicode holds equal are two keys")
    func twins() {
        #expect(nfc == nfd)
        #expect(ByteText(nfc) != ByteText(nfd))
        #expect(Set([ByteText(nfc), ByteText(nfd)]).count == 2)
        #expect(
            [ByteText(nfc), ByteText(nfd)].sorted().map { Array($0.text.utf8) } == [Array(nfd.utf8), Array(nfc.utf8)])
    }

    @Test("no ASCII character but ;, K and ` is equal to one outside of ASCII")
    func equivalents() {
        // One scalar each: the canonical decompositions of longer texts have no ASCII alone.
        var found: Set<String> = []
        for value in UInt32(0x80)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let decomposed = String(Character(scalar))
            for ascii in [";", "K", "`"] where decomposed == ascii { found.insert(ascii) }
        }
        #expect(found == [";", "K", "`"])
    }

    @Test("a separator before a combining mark separates")
    func parts() {
        #expect("a/\u{301}b".byteParts("/").map { Array($0.utf8) } == [Array("a".utf8), Array("\u{301}b".utf8)])
        #expect("/a//".byteParts("/") == ["", "a", "", ""])
        #expect("a@b@c".byteParts("@", maxSplits: 1) == ["a", "b@c"])
        #expect("".byteParts("/") == [""])
    }

    @Test("prefixes and suffixes are bytes")
    func affixes() {
        #expect("models--\u{301}x".hasBytePrefix("models--"))
        #expect("models--\u{301}x".dropping(bytePrefix: "models--").map { Array($0.utf8) } == Array("\u{301}x".utf8))
        #expect("\u{600}.sql".hasByteSuffix(".sql"))
        #expect("a.sql".dropping(byteSuffix: ".sql") == "a")
        #expect("sql".dropping(byteSuffix: ".sql") == nil)
        #expect(!nfd.hasByteSuffix(nfc))
    }

    @Test("an escape also replaces a mark before a combining mark, and a line feed after a carriage return")
    func escapes() {
        #expect(Array("a'\u{301}b".quoted(doubling: "'").utf8) == Array("'a''\u{301}b'".utf8))
        #expect("".quoted(doubling: "\"") == "\"\"")
        #expect("a\r\nb".replacing(scalars: { $0 == "\n" ? "N" : nil }).utf8.elementsEqual("a\rNb".utf8))
    }

    @Test("a word has ASCII letters and digits alone")
    func words() {
        #expect("aZ09._-".isASCIIWord(and: "._-"))
        for other in ["\u{FF11}", "\u{E9}", "\u{212A}", "a b", "\r\n", "\u{0}"] { #expect(!other.isASCIIWord()) }
    }
}
