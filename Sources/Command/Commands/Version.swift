import ArgumentParser
import Glibc
import WeightStore

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Show the version of this program, and what it was built from.",
        discussion: """
            SCHEMA is the version of the catalog that the program writes. --verbose lists the packages of which the \
            program consists, with their versions.
            """
    ).examples("version --verbose")

    @Flag(name: .shortAndLong, help: "Also list the packages that the program was built with.") var verbose = false
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let version: String
        let commit: String?
        let catalogSchema: Int
        let outputSchema: Int
        let sqlite: String
        let swift: String
        let platform: String
        let build: String
        let packages: [BuildFacts.Package]?
    }

    private var answer: Answer {
        Answer(
            version: ProgramVersion.current, commit: BuildFacts.commit, catalogSchema: Catalog.schema,
            outputSchema: Presentation.schema, sqlite: Catalog.sqliteVersion, swift: Self.swift,
            platform: Self.platform, build: Self.build,
            packages: verbose ? BuildFacts.packages : nil)
    }

    func run() throws {
        let answer = answer
        if output.json { return try Terminal.write(json: answer) }
        var text = """
            weightstore \(answer.version)
            commit      \(answer.commit ?? "unknown")
            schema      \(answer.catalogSchema) of the catalog, \(answer.outputSchema) of --json
            SQLite      \(answer.sqlite)
            Swift       \(answer.swift), \(answer.build) build
            platform    \(answer.platform)

            """
        if let packages = answer.packages {
            var table = Table("PACKAGE", "VERSION")
            for package in packages { table.add(package.name, package.version) }
            text += "\n" + table.text
        }
        try Terminal.write(text)
    }
}

extension Version {
    /// The compiler's version.
    private static var swift: String {
        #if compiler(>=6.5)
            "6.5 or newer"
        #elseif compiler(>=6.4)
            "6.4"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    private static var build: String {
        #if DEBUG
            "debug"
        #else
            "release"
        #endif
    }

    /// The kernel, the processor and the C library.
    private static var platform: String {
        var names = utsname()
        // It fails only for an invalid address.
        guard uname(&names) == 0 else { return "unknown" }
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(text(names.sysname)) \(text(names.release)) \(text(names.machine)), "
            + cLibrary
    }

    /// `glibc 2.36`.
    private static var cLibrary: String {
        var text = [UInt8](repeating: 0, count: 64)
        let length = text.withUnsafeMutableBytes {
            confstr(Int32(_CS_GNU_LIBC_VERSION), $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return length > 1 ? String(decoding: text.prefix { $0 != 0 }, as: UTF8.self) : "unknown C library"
    }
}
