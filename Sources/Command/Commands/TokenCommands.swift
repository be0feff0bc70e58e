import ArgumentParser
import Server
import WeightStore

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Make, list and remove the access tokens of a server.",
        discussion: """
            The tokens are in the file that "weightstore serve --token-file" reads; the environment variable \
            WEIGHTSTORE_TOKEN_FILE names it for all of these commands. The file has the digests of the tokens, never the \
            tokens: a token is printed once, when it is made. A server reads a changed file within seconds.
            """,
        subcommands: [TokenNew.self, TokenList.self, TokenRemove.self]
    ).examples("token new ci --token-file tokens")
}

/// The file of tokens, and the output format.
struct TokenFileOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The file of tokens (default: $WEIGHTSTORE_TOKEN_FILE).", valueName: "file"),
        completion: .file())
    var tokenFile: String?
    @OptionGroup var output: OutputOptions

    var json: Bool { output.json }

    func path() throws -> String {
        guard let path = tokenFile ?? AccessTokenFile.named else {
            throw ValidationError("Name the file of tokens: --token-file, or WEIGHTSTORE_TOKEN_FILE.")
        }
        return path
    }
}

struct TokenNew: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Make a token, print it, and add its digest to the file.",
        discussion: """
            Creates the file if it does not exist. The token has the form that clients of the Hugging Face Hub and \
            "llama-server -hf" accept: HF_TOKEN. The log names the token, and with --models a server answers as if it had \
            no other models.
            """
    ).examples(
        "token new ci --scope metrics --token-file tokens", "token new lab --models 'org/*' --token-file tokens")

    @Argument(help: "A name by which the token is listed and removed.") var name: String
    @Option(
        help: ArgumentHelp(
            "What the token allows. read: everything that the server answers; metrics: /metrics and /readyz.",
            valueName: "read|metrics"))
    var scope = AccessToken.Scope.read
    @Option(
        help: ArgumentHelp(
            "A pattern of the models that the token reads, such as 'org/*'; may be given several times (default: all).",
            valueName: "pattern"))
    var models: [String] = []
    @OptionGroup var options: TokenFileOptions

    private struct Answer: Encodable {
        let name: String
        let scope: AccessToken.Scope
        let models: [String]?
        let token: String
        let file: String
    }

    func run() throws {
        let path = try options.path()
        let patterns = models.isEmpty ? nil : try ModelPatterns(models, source: "--models")
        let new = try AccessToken.make(name: name, scope: scope, models: patterns, created: StoreClock.now)
        var editor = try TokenFileEditor(path)
        if try editor.contains(name) {
            throw StorageError.invalid(what: "token", value: name, reason: "the file has a token of this name")
        }
        editor.append(new.token)
        try editor.write()
        if options.json {
            return try Terminal.write(
                json: Answer(
                    name: name, scope: scope, models: patterns.map { _ in models }, token: new.text, file: editor.path))
        }
        try Terminal.write(new.text + "\n")
        Terminal.printDiagnostic("\(editor.path): added \(name) (\(scope.rawValue)); the token is not shown again")
    }
}

struct TokenList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the tokens by name.",
        discussion: "A token that is in the file as it is has no name, and may read everything."
    ).examples("token ls --token-file tokens")

    @OptionGroup var options: TokenFileOptions

    private struct Answer: Encodable {
        let name: String?
        let scope: AccessToken.Scope
        let models: [String]?
        let created: Int?
    }

    func run() throws {
        let tokens = try TokenFileEditor.tokens(options.path())
        if options.json {
            return try Terminal.write(
                json: tokens.map {
                    Answer(name: $0.name, scope: $0.scope, models: $0.models?.patterns, created: $0.created)
                })
        }
        var table = Table("NAME", "SCOPE", "MODELS", "CREATED")
        for token in tokens {
            table.add(
                token.name ?? "-", token.scope.rawValue, token.models?.description ?? "all",
                token.created.map { Quantity.age($0) } ?? "-")
        }
        try Terminal.write(table.text)
    }
}

struct TokenRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove a token: servers refuse it within seconds.",
        discussion: """
            A server whose file has no token left refuses every request that needs one. A token without a name is removed \
            with an editor.
            """
    ).examples("token rm ci --token-file tokens")

    @Argument(help: "The name of the token.") var name: String
    @OptionGroup var options: TokenFileOptions

    func run() throws {
        let path = try options.path()
        var editor = try TokenFileEditor(path)
        guard try editor.contains(name) else { throw StorageError.notFound(kind: "token", name: name, detail: "") }
        try editor.remove(name)
        try editor.write()
        try options.json ? Terminal.write(json: [name]) : Terminal.write("\(name) removed from \(editor.path)\n")
    }
}

extension AccessToken.Scope: ExpressibleByArgument {}
