import ArgumentParser
import Fleet
import Logging
import Origins
import Synchronization
import WeightStore

/// The output format.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, errors included.")
    var json = false
    @Option(
        help: ArgumentHelp(
            "The progress on standard error: auto, json (a line each second), none, or a time such as 10s (a line of text "
                + "at this interval).", valueName: "style"))
    var progress = ProgressStyle.auto

    func validate() throws { Presentation.progress = progress }
}

/// The store of a command whose output has one format, such as the bytes of a file. It refuses `--json`.
struct StoreLocation: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The store's directory (default: $WEIGHTSTORE_HOME, or ~/.local/share/weightstore).",
            valueName: "directory"),
        completion: .directory)
    var store: String?

    var path: String { store ?? Store.defaultPath }

    /// Reports the limits of a command that uses a revision in a store that can only be read.
    func noteReadOnly(_ store: Store) {
        guard let reason = store.readOnlyReason else { return }
        Terminal.printDiagnostic(
            "\(reason): the store can only be read; uses are not counted, and another process may remove bytes in use"
        )
    }

    /// Prints the library's warnings.
    var logger: Logger { Logger(label: "weightstore") { _ in DiagnosticLogHandler() } }

    /// - Parameters:
    ///   - limitRate: the most bytes per second to fetch from origins.
    ///   - log: receives the library's events, in a service; nil prints warnings.
    func open(create: Bool = false, limitRate: Int? = nil, log: Logger? = nil) throws -> Store {
        Suggestion.store.withLock { $0 = path }
        return try Self.open(path, create: create, limitRate: limitRate, logger: log ?? logger)
    }

    /// - Parameter work: cancelling it ends the call, which may wait for the locks of other processes.
    static func open(
        _ path: String, create: Bool, limitRate: Int? = nil, logger: Logger, work: Work? = nil
    ) throws -> Store {
        let store = try Store(at: path, create: create, logger: logger, work: work)
        Signals.whenEnded { [weak store] in store?.removeTemporaryFiles() }
        var transport = TransportOptions()
        transport.bytesPerSecond = limitRate
        Origins.register(in: store, options: transport)
        Fleet.registerPeers(in: store)
        return store
    }
}

/// The options of every command that uses a store and prints a result: the store, and the output format.
struct StoreOptions: ParsableArguments {
    @OptionGroup var location: StoreLocation
    @OptionGroup var output: OutputOptions

    var json: Bool { output.json }
    var path: String { location.path }
    var logger: Logger { location.logger }

    /// As `StoreLocation.noteReadOnly`.
    func noteReadOnly(_ store: Store) { location.noteReadOnly(store) }

    /// As `StoreLocation.open`.
    func open(create: Bool = false, limitRate: Int? = nil, log: Logger? = nil) throws -> Store {
        try location.open(create: create, limitRate: limitRate, log: log)
    }
}

/// Prints the library's warnings, and on a terminal its notices, as messages of the tool.
private struct DiagnosticLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Terminal.showsProgress ? Logger.Level.notice : .warning

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { Terminal.printDiagnostic("\(event.message)") }
}
