/// A set of names, compared by bytes: two `String`s are equal if they are canonically equivalent.
struct NameSet {
    private struct Name: Hashable {
        let text: String

        // Different names are found without a comparison byte by byte: the names of a model begin alike.
        static func == (left: Name, right: Name) -> Bool {
            left.text == right.text && left.text.utf8.elementsEqual(right.text.utf8)
        }

        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    private var names: Set<Name> = []

    /// - Returns: false if the set has the name already.
    mutating func insert(_ name: String) -> Bool { names.insert(Name(text: name)).inserted }
}
