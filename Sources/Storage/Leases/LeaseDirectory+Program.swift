import Support

extension LeaseDirectory {
    /// The version of a process's program and the schema of its catalog: a line of its lease file.
    ///
    /// Programs up to schema 5 do not write this line, and ignore it in other files.
    package struct Program: Equatable, Sendable {
        /// The number of the last migration that the program has.
        package let schema: Int
        /// The version of the program.
        package let version: String

        /// This program.
        package static let current = Program(schema: Catalog.schema, version: ProgramVersion.current)

        var line: String { "schema \(schema), version \(version)" }

        init(schema: Int, version: String) {
            self.schema = schema
            self.version = version
        }

        init?(line: some StringProtocol) {
            let words = line.byteParts(" ", maxSplits: 3)
            guard words.count == 4, words[0] == "schema", words[2] == "version",
                let schema = words[1].dropping(byteSuffix: ",").flatMap({ Int(decimal: $0) })
            else { return nil }
            self.init(schema: schema, version: words[3])
        }
    }
}
