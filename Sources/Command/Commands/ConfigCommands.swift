import ArgumentParser
import WeightStore

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Show the settings and where they came from; check the configuration files.",
        discussion: """
            The files are TOML: that of --config, ~/.config/weightstore/config.toml, and /etc/weightstore/config.toml. A \
            value of an earlier one wins. An option wins over the environment, and the environment over the files. The \
            tool reads the files; the libraries for C and Python read the environment alone. The quota is no setting of \
            these: the catalog has it for all processes.
            """,
        subcommands: [ConfigShow.self, ConfigCheck.self]
    ).examples("config show", "config check --config ./config.toml")
}

struct ConfigShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "List every setting, its value, and where the value came from.",
        discussion: "Secrets are shown as ***."
    ).examples("config show --filter 'source!=default'")

    @OptionGroup var list: ListOptions
    @OptionGroup var output: OutputOptions

    private struct Row: Encodable {
        let key: String
        let value: String?
        let source: String
        let variables: [String]
        let summary: String
    }

    func run() throws {
        let rows = Settings.resolved.map { resolved in
            Row(
                key: resolved.setting.key,
                value: resolved.value.map { resolved.setting.kind.isSecret ? "***" : $0 },
                source: resolved.source, variables: resolved.setting.variables, summary: resolved.setting.summary)
        }
        let listing = try Listing(
            rows, list,
            [
                .text("KEY") { $0.key }, .name("VALUE") { $0.value ?? "-" }, .name("SOURCE") { $0.source },
                .text("VARIABLE") { $0.variables[0] }, .name("MEANING") { $0.summary },
            ])
        try output.json ? Terminal.write(json: listing.rows) : Terminal.write(listing.table)
    }
}

struct ConfigCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check the configuration files: their form, keys and values.",
        discussion: "Exit status 6 if a key is unknown, or a value has another form."
    ).examples("config check")

    @OptionGroup var output: OutputOptions

    func run() throws {
        let problems = try Settings.problems()
        if output.json {
            try Terminal.write(json: problems)
        } else {
            for problem in problems {
                Terminal.printDiagnostic(
                    "\(problem.file), line \(problem.line): \(problem.key): \(problem.problem)")
            }
            if problems.isEmpty {
                let files = try Settings.files().map(\.path)
                try Terminal.write(
                    files.isEmpty
                        ? "no configuration file: \(Settings.paths.joined(separator: ", "))\n"
                        : files.map { "\($0): valid\n" }.joined())
            }
        }
        if !problems.isEmpty { throw ExitCode(ExitStatus.badInput.rawValue) }
    }
}
