import ArgumentParser
import Glibc
import Support

@main
struct WeightStoreTool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weightstore",
        abstract: "Keeps model weights on disk once, by content, and hands them out by layer.",
        discussion: """
            A revision is named as model, model@ref, model@v3, model@<commit> or model@<digest>; without @ it is \
            the ref main, or else the last version. The store is the directory given with --store, or in \
            WEIGHTSTORE_HOME, or ~/.local/share/weightstore.

            \(ExitStatus.help)
            """,
        version: ProgramVersion.current,
        groupedSubcommands: [
            CommandGroup(
                name: "Bringing in and giving back:", subcommands: [Import.self, Pull.self, Export.self, Cat.self]),
            CommandGroup(
                name: "Looking:",
                subcommands: [
                    List.self, Show.self, Files.self, Tensors.self, DiskUsage.self, Stats.self, Families.self,
                ]),
            CommandGroup(
                name: "Naming and keeping:", subcommands: [Tag.self, Untag.self, Pin.self, Unpin.self]),
            CommandGroup(name: "Removing:", subcommands: [Remove.self, Prune.self, CollectGarbage.self]),
            CommandGroup(
                name: "Evicting:",
                subcommands: [QuotaCommand.self, Evict.self, PolicyCommand.self, Record.self]),
            CommandGroup(name: "KV cache:", subcommands: [KVCommand.self, PromptCommand.self]),
            CommandGroup(name: "Memory:", subcommands: [Load.self, Warm.self, Bench.self]),
            CommandGroup(name: "Serving:", subcommands: [Serve.self]),
            CommandGroup(
                name: "Many nodes:",
                subcommands: [Push.self, Rollback.self, Check.self, Sync.self, Node.self, FleetCommand.self]),
            CommandGroup(name: "Checking and mending:", subcommands: [Verify.self, Rebuild.self]),
            CommandGroup(name: "Trying it out:", subcommands: [Demo.self, Generate.self]),
        ])

    private static func message(for error: any Error) -> String {
        if error is CancellationError {
            return
                "Interrupted. What is durable stays, and the next run resumes from it; \"weightstore gc\" removes it."
        }
        return ["\(error)", Advice.text(for: error)].compactMap(\.self).joined(separator: " ")
    }

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            guard let status = ExitStatus(error) else { exit(withError: error) }
            Terminal.complain(message(for: error))
            Glibc.exit(status.rawValue)
        }
    }
}
