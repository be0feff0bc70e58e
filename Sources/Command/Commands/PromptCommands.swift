import ArgumentParser
import Foundation
import Server
import WeightStore

struct PromptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prompt",
        abstract: "Register the common prompts of a model, so that \"weightstore warm\" also loads their KV blocks.",
        discussion: """
            A prompt is a list of tokens that requests begin with. Its uses are counted when engines look up KV blocks.
            """,
        subcommands: [Add.self, List.self, Remove.self]
    ).examples("prompt ls org/llama")

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract: "Register a prompt.",
            discussion:
                "The JSON is an array of numbers, or an object with one as input_ids or tokens, as tokenizers write it."
        ).examples("prompt add org/llama system.json --name system")

        @Argument(help: "The model.", completion: .models) var model: String
        @Argument(help: "A JSON file with the tokens; - is standard input.", completion: .file(extensions: ["json"]))
        var file: String
        @Option(
            help: ArgumentHelp("The prompt's name (default: from the SHA-256 of the tokens).", valueName: "name"))
        var name: String?
        @OptionGroup var options: StoreOptions

        func run() throws {
            let store = try options.open()
            let prompt = try store.addPrompt(try TokenFile.read(file), name: name, to: model)
            if options.json { return try Terminal.write(json: prompt) }
            try Terminal.write("\(prompt.model) \(prompt.name): \(Quantity.count(prompt.tokens, "token"))\n")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "List prompts, the most used first.",
            discussion: """
                USES: the requests that began with the prompt since it was added. EXPECTED: the sum of the \
                past uses, each halved for every day since then, by which warm ranks prompts; adding a prompt counts \
                as one use.
                """
        ).examples("prompt ls org/llama")

        @Argument(help: "Only prompts of this model.", completion: .models) var model: String?
        @OptionGroup var list: ListOptions
        @OptionGroup var options: StoreOptions

        func run() throws {
            let prompts = try options.open().prompts(of: model)
            let listing = try Listing(
                prompts, list,
                [
                    .name("MODEL") { $0.model }, .name("PROMPT") { $0.name }, .count("TOKENS") { $0.tokens },
                    .count("USES") { $0.accesses },
                    .moment("LAST USED") { $0.accesses > 0 ? $0.lastAccess : nil },
                    .number("EXPECTED") { $0.expectedUses },
                ])
            if options.json || !listing.rows.isEmpty { try listing.report(options) }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Remove a prompt. Its KV blocks stay until they are evicted."
        ).examples("prompt rm org/llama system")

        @Argument(help: "The model.", completion: .models) var model: String
        @Argument(help: "The prompt's name.") var name: String
        @OptionGroup var options: StoreOptions

        private struct Answer: Encodable {
            let model: String
            let removed: String
        }

        func run() throws {
            try options.open().removePrompt(name, of: model)
            try options.json
                ? Terminal.write(json: Answer(model: model, removed: name))
                : Terminal.write("\(model) \(name) removed\n")
        }
    }
}

/// A list of tokens as JSON.
enum TokenFile {
    private struct Object: Decodable {
        let input_ids: [UInt32]?
        let tokens: [UInt32]?
    }

    /// - Parameter path: `-` means standard input.
    static func read(_ path: String) throws -> [UInt32] {
        let data = try InputFile.data(path)
        let decoder = JSONDecoder()
        do {
            if let tokens = try? decoder.decode([UInt32].self, from: data) { return tokens }
            let object = try decoder.decode(Object.self, from: data)
            if let tokens = object.input_ids ?? object.tokens { return tokens }
        } catch {
            // Reported below, with one message for both forms.
        }
        throw StorageError.invalid(
            what: "file of tokens", value: path == "-" ? "standard input" : path,
            reason: "must be a JSON array of numbers from 0 to 4294967295, or an object with one as input_ids or tokens"
        )
    }
}
