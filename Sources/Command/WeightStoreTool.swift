import ArgumentParser
import Files
import Glibc
import Support

@main
struct WeightStoreTool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weightstore",
        abstract: "Stores model weights once, by content, and loads them by layer.",
        discussion: """
            A revision is written as model@ref, model@~3, model@<commit> or model@<digest>; a model without @ means \
            its ref main, or its last version if it has no such ref. The store is the directory given by --store or \
            WEIGHTSTORE_HOME (default: ~/.local/share/weightstore).

            \(ExitStatus.help)
            """,
        version: ProgramVersion.current,
        groupedSubcommands: [
            CommandGroup(
                name: "Import and export:",
                subcommands: [Initialize.self, Import.self, Pull.self, Export.self, Cat.self]),
            CommandGroup(
                name: "Inspection:",
                subcommands: [
                    List.self, Show.self, Files.self, Tensors.self, DiskUsage.self, Stats.self, Families.self,
                ]),
            CommandGroup(
                name: "Refs and pins:", subcommands: [Tag.self, Untag.self, Pin.self, Unpin.self]),
            CommandGroup(name: "Origins:", subcommands: [OriginCommand.self]),
            CommandGroup(name: "Removal:", subcommands: [Remove.self, Prune.self, CollectGarbage.self]),
            CommandGroup(
                name: "Eviction:",
                subcommands: [QuotaCommand.self, Evict.self, PolicyCommand.self, Record.self]),
            CommandGroup(name: "KV cache:", subcommands: [KVCommand.self, PromptCommand.self]),
            CommandGroup(name: "Memory tiers:", subcommands: [Load.self, Warm.self, Bench.self]),
            CommandGroup(name: "Mount and server:", subcommands: [MountCommand.self, Serve.self, TokenCommand.self]),
            CommandGroup(
                name: "Fleet:",
                subcommands: [Push.self, Rollback.self, Check.self, Sync.self, Node.self, FleetCommand.self]),
            CommandGroup(name: "Verification and repair:", subcommands: [Verify.self, Rebuild.self, Backup.self]),
            CommandGroup(name: "Demo and test data:", subcommands: [Demo.self, Generate.self]),
        ])

    private static func message(for error: any Error, of command: (any ParsableCommand)?) -> String {
        if error is CancellationError { return Signals.report }
        let sentences = ["\(error)", Advice.text(for: error, of: command) ?? ""]
        return sentences.filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// The report of wrong usage that a command finds while it runs: the same as for wrong usage that the parser finds.
    private static func usage(of command: any ParsableCommand.Type, _ error: ValidationError) -> String {
        let usage = usageString(for: command)
        let names = usage.split(separator: " ").prefix { $0.utf8.first.map { !"[<-(".utf8.contains($0) } ?? false }
        return """
            Error: \(error.message)
            Usage: \(usage)
              See '\(names.joined(separator: " ")) --help' for more information.

            """
    }

    /// The arguments, without the name of the program.
    ///
    /// - Returns: nil if there is nothing to do.
    static func arguments() throws -> [String]? {
        let given = Array(CommandLine.arguments.dropFirst())
        let isHelper = CommandLine.arguments.first.map { FileSystem.name(of: $0) } == MountHelper.name
        return isHelper ? try MountHelper.arguments(given) : given
    }

    static func main() {
        Signals.own()
        var running: (any ParsableCommand)?
        do {
            guard let arguments = try arguments() else { return }
            var command = try parseAsRoot(arguments)
            Signals.setAdvice((command as? any InterruptAdvice)?.interruptAdvice ?? "")
            running = command
            try command.run()
        } catch {
            // Errors of the parser are of another type.
            if let running, let error = error as? ValidationError {
                Signals.exit(ExitCode.validationFailure.rawValue) {
                    Terminal.writeError(usage(of: type(of: running), error))
                }
            }
            guard let status = ExitStatus(error) else { exit(withError: error) }
            Signals.exit(status.rawValue) { Terminal.printDiagnostic(message(for: error, of: running)) }
        }
    }
}
