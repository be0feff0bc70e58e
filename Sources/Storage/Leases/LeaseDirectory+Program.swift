import Support

extension LeaseDirectory {
    /// The program of a process and the schema of the catalog that it works with: a line of its lease file.
    ///
    /// Programs up to schema 5 write no such line, and pass over it where they find one.
    package struct Program: Equatable, Sendable {
        /// The number of the last migration that the program knows.
        package let schema: Int
        package let version: String

        /// This program.
        package static let current = Program(schema: Catalog.schema, version: ProgramVersion.current)

        var line: String { "schema \(schema), version \(version)" }

        init(schema: Int, version: String) {
            self.schema = schema
            self.version = version
        }

        init?(line: Substring) {
            let words = line.split(separator: " ", maxSplits: 3)
            guard words.count == 4, words[0] == "schema", words[1].last == ",", words[2] == "version",
                let schema = Int(words[1].dropLast())
            else { return nil }
            self.init(schema: schema, version: String(words[3]))
        }
    }
}
