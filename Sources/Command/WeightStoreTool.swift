import ArgumentParser
import CSQLite
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
            WEIGHTSTORE_HOME (default: ~/.local/share/weightstore). --store, --json, --no-trunc and --progress may also \
            stand before the command. --config names a configuration file; weightstore config show lists the settings.

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
                    Status.self, Doctor.self, Top.self, Events.self, List.self, Show.self, Files.self, Tensors.self,
                    DiskUsage.self, Stats.self, Families.self,
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
            CommandGroup(
                name: "Mount and server:",
                subcommands: [
                    MountCommand.self, Serve.self, TokenCommand.self, ServiceCommand.self, MonitoringCommand.self,
                ]),
            CommandGroup(
                name: "Fleet:",
                subcommands: [Push.self, Rollback.self, Check.self, Sync.self, Node.self, FleetCommand.self]),
            CommandGroup(name: "Verification and repair:", subcommands: [Verify.self, Rebuild.self, Backup.self]),
            CommandGroup(name: "Demo and test data:", subcommands: [Demo.self, Generate.self]),
            CommandGroup(name: "This program:", subcommands: [ConfigCommand.self, Version.self]),
        ])

    private static func message(for error: any Error, of command: (any ParsableCommand)?) -> String {
        if error is CancellationError { return Signals.report }
        let sentences = ["\(error)", Advice.text(for: error, of: command) ?? ""]
        return sentences.filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// The report of wrong usage that is found here: the same as for wrong usage that the parser finds.
    private static func usage(of command: any ParsableCommand.Type, _ message: String) -> String {
        let usage = usageString(for: command)
        let names = usage.split(separator: " ").prefix { $0.utf8.first.map { !"[<-(".utf8.contains($0) } ?? false }
        return """
            Error: \(message)
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

    /// Reports wrong usage, and ends the process.
    private static func exitWithUsage(_ message: String, _ text: String) -> Never {
        Signals.exit(ExitStatus.usage.rawValue) { Failure(.usage, message).report(text) }
    }

    /// Ends the process after an error of the parser, or after help, a version or completions, which it throws, too.
    private static func exit(afterParsing error: any Error) -> Never {
        guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
        let message = message(for: error)
        let text = fullMessage(for: error)
        guard let form = ValueForm.text(for: message) else { exitWithUsage(message, text + "\n") }
        let complete = "\(message). \(form)"
        exitWithUsage(complete, text.replacing(message, with: complete, maxReplacements: 1) + "\n")
    }

    static func main() {
        Signals.own()
        // Before the first catalog is opened. A failure changes the speed alone.
        _ = csqlite_disable_memory_status()
        let given: [String]
        do {
            guard let words = try Self.arguments() else { return }
            given = words
        } catch {
            exit(afterParsing: error)
        }
        let arguments = ToolArguments(given, of: Self.self)
        Presentation.isJSON = arguments.has("--json")
        if let unknown = arguments.unknown {
            let message = arguments.report(unknown: unknown)
            exitWithUsage(message, usage(of: arguments.command, message))
        }
        var running: (any ParsableCommand)?
        do {
            let settings = Result { try Settings.apply(config: arguments.config) }
            var command = try parseAsRoot(arguments.words)
            // It reports every problem of the files.
            if !(command is ConfigCheck) { try settings.get() }
            Signals.setAdvice((command as? any InterruptAdvice)?.interruptAdvice ?? "")
            running = command
            try command.run()
        } catch {
            // Errors of the parser are of another type.
            if let running, let error = error as? ValidationError {
                exitWithUsage(error.message, usage(of: type(of: running), error.message))
            }
            guard let status = ExitStatus(error) else { exit(afterParsing: error) }
            Signals.exit(status.rawValue) { Failure(status, message(for: error, of: running)).report() }
        }
    }
}
