import ArgumentParser
import Foundation
import Server
import WeightStore

struct PromptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prompt",
        abstract: "Common prompts of a model, whose KV blocks warm brings into memory.",
        discussion: """
            A prompt is the list of tokens that requests begin with. How often it is used is counted where engines look for \
            KV blocks.
            """,
        subcommands: [Add.self, List.self, Remove.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract: "Register a prompt.",
            discussion:
                "The JSON is an array of numbers, or an object that has one as input_ids or tokens, as tokenizers give it."
        )

        @Argument(help: "The model.") var model: String
        @Argument(help: "A JSON file with the tokens; - is standard input.", completion: .file(extensions: ["json"]))
        var file: String
        @Option(
            help: ArgumentHelp("What to call it (default: the beginning of the tokens' SHA-256).", valueName: "name"))
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
                USES: how many requests began with the prompt, since it was added. EXPECTED: the uses that warm reckons with, \
                those of the past, each halved for every day that has passed; adding a prompt counts as one.
                """)

        @Argument(help: "Only this model's.") var model: String?
        @OptionGroup var options: StoreOptions

        func run() throws {
            let prompts = try options.open().prompts(of: model)
            if options.json { return try Terminal.write(json: prompts) }
            var table = Table("MODEL", "PROMPT", ">TOKENS", ">USES", "LAST USED", ">EXPECTED")
            for prompt in prompts {
                table.add(
                    prompt.model, prompt.name, "\(prompt.tokens)", "\(prompt.accesses)",
                    prompt.accesses > 0 ? Quantity.age(prompt.lastAccess) : "never",
                    Quantity.number(prompt.expectedUses))
            }
            if !table.isEmpty { try Terminal.write(table.text) }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Forget a prompt. Its KV blocks stay, until they are evicted.")

        @Argument(help: "The model.") var model: String
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
            // Said below, in words for people.
        }
        throw StorageError.invalid(
            what: "file of tokens", value: path == "-" ? "standard input" : path,
            reason: "a JSON array of numbers from 0 to 4294967295 is, or an object with one as input_ids or tokens")
    }
}
