import Foundation
import Glibc
import TestSupport
import Testing
@testable import Files
@testable import WeightStore

/// SIGINT, SIGTERM and SIGHUP in every command that may take long, and in every wait for a lock.
@Suite(.blockingInTurn, .serialized) struct SignalTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() { tool = Tool(store: directory("store")) }

    /// Ten times what a command may take after the signal, because the machine may be busy.
    private static let limit = 10.0
    /// How often each command is interrupted; `Tests/full` does it ten times.
    private static let rounds = Int(ProcessInfo.processInfo.environment["WEIGHTSTORE_SIGNAL_ROUNDS"] ?? "") ?? 1

    /// Waits for the end of a process.
    ///
    /// - Returns: false if it had to be killed.
    private func endsInTime(_ process: ChildProcess) -> Bool {
        let start = ContinuousClock.now
        while process.isRunning {
            if (ContinuousClock.now - start) / .seconds(1) > Self.limit {
                process.end(SIGKILL)
                return false
            }
            usleep(5_000)
        }
        return true
    }

    private func text(ofLog log: String) -> String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    /// Starts the tool with its messages in a file.
    private func start(_ arguments: [String], log: String) throws -> ChildProcess {
        try ChildProcess(
            [Tool.path] + arguments, environment: ["WEIGHTSTORE_HOME": tool.store], errors: .file(log))
    }

    @Test("each command ends on the first SIGINT or SIGTERM, at any moment, and the store is intact afterwards")
    func randomMoments() throws {
        try TestModel(layers: 6).write(to: directory("model"), files: 3)
        try TestModel(layers: 6).tuned(seed: 3).write(to: directory("tuned"), files: 3)
        try TestModel(layers: 2, seed: 5).write(to: directory("kept"))
        #expect(try tool("import", directory("kept"), "--name", "org/kept").status == 0)
        #expect(try tool("import", directory("tuned"), "--name", "org/held").status == 0)
        let silent = try SilentServer()
        let server = try ServeProcess(tool.store, log: directory("serve-log"))
        let bucket = "s3://weights/prod?endpoint=\(silent.url)"
        let trace = (0..<200_000).map { "\($0).0,\($0 % 977),4096\n" }.joined()
        try directory.write(trace, to: "trace.csv")
        let commands: [[String]] = [
            ["import", directory("model"), "--name", "org/model"],
            ["import", directory("moved"), "--name", "org/moved", "--move"],
            ["pull", "org/held", "--origin", server.url, "--store", directory("other"), "--limit-rate", "1M"],
            ["pull", "org/far", "--origin", silent.url, "--store", directory("other")],
            ["export", "org/held", directory("out"), "--force"],
            ["cat", "org/held", "model-00001-of-00003.safetensors"],
            ["verify", "--rate", "1M"], ["verify"], ["load", "org/held"], ["load", "org/held", "--hold"],
            ["load", "org/held", "--hold", "--to", "host"], ["warm", "org/held", "--hold"],
            ["warm", "org/held", "--hold", "--every", "1s"], ["bench", "org/held", "--runs", "50"],
            ["serve", "--port", "0"], ["serve", "--port", "0", "--upstream", silent.url],
            ["node", "org/held", "--port", "0", "--origin", bucket], ["sync", "org/held", "--origin", bucket],
            ["push", "org/held", "--to", bucket], ["fleet", "status", "--origin", bucket],
            ["fleet", "verify", "--origin", bucket], ["fleet", "gc", "--origin", bucket],
            ["policy", "simulate", "--log", directory("trace.csv"), "--points", "100"],
            ["generate", directory("made")],
            ["demo"], ["gc"], ["evict", "--free", "1M"], ["prune", "--keep-last", "1"],
            ["rm", "org/model", "--dry-run"],
            ["tag", "org/kept", "prod"], ["pin", "org/kept"], ["ls"], ["du"], ["stats"], ["backup", directory("copy")],
            ["rebuild", "--merge"], ["rebuild", "--store", directory("other")],
        ]
        for round in 0..<Self.rounds {
            for (number, arguments) in commands.enumerated() {
                if arguments[1...].contains(directory("moved")) {
                    try TestModel(layers: 3, seed: UInt64(90 + round)).write(to: directory("moved"), files: 3)
                }
                let log = directory("log-\(round)-\(number)")
                let process = try start(arguments, log: log)
                // At the beginning, in the middle, or later than a short command's end.
                usleep(.random(in: 0...600_000))
                let signal = (round + number) % 2 == 0 ? SIGTERM : SIGINT
                process.signal(signal)
                #expect(endsInTime(process), "\(arguments) did not end: \(text(ofLog: log))")
                let status = process.wait()
                // 8, 9 and 3: it ended before the signal, without the bucket or after the interrupted import.
                #expect(
                    [0, 130, 1, 2, 3, 4, 6, 7, 8, 9, 13].contains(status) || status == 128 + signal,
                    "\(arguments): \(status) \(text(ofLog: log))")
                // Before its handlers are installed, SIGINT kills a process; the status is the same.
                if status == 130, signal == SIGTERM || !text(ofLog: log).isEmpty {
                    #expect(text(ofLog: log).contains("Interrupted."), "\(arguments): \(text(ofLog: log))")
                }
            }
        }
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
        #expect(try tool("gc", "--grace", "0").status == 0)
        let checked = try tool("verify")
        #expect(checked.status == 0, "\(checked.errors)")
        #expect(try tool("stats").output.contains("serve"))
        server.end()
        #expect(try tool("stats").output.contains("processes  none but this"))
    }

    @Test("a command that waits for a lock names the process that holds it, and ends on a signal")
    func lockHolder() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
        try TestModel(layers: 1, seed: 2).write(to: directory("next"))
        // A removal holds leases/.lock while it waits, so others would wait for the removal.
        let groups: [(lock: String, commands: [[String]])] = [
            (
                "write.lock",
                [
                    ["import", directory("next")], ["tag", "org/model", "prod"], ["pin", "org/model"],
                    ["quota", "--set", "1G"], ["gc"], ["verify"], ["record", "on"],
                ]
            ), ("write.lock", [["rm", "org/model"]]), ("write.lock", [["prune"]]),
            ("leases/.lock", [["ls"], ["load", "org/model"], ["rebuild"]]),
            ("evict.lock", [["evict", "--free", "1M"]]),
        ]
        for (number, (lock, commands)) in groups.enumerated() {
            let file = try FileDescriptor("\(tool.store)/\(lock)", O_RDWR | O_CREAT)
            try blockUntil { try file.tryLock() }
            let waiting = try commands.map { arguments in
                let log = directory("log-\(number)-\(arguments[0])")
                return (arguments, log, try start(arguments, log: log))
            }
            for (arguments, log, process) in waiting {
                try blockUntil { text(ofLog: log).contains("waiting") || !process.isRunning }
                #expect(
                    text(ofLog: log).contains("\(lock): waiting for its lock, held by process \(getpid()) ("),
                    "\(arguments)")
                process.signal(SIGTERM)
                #expect(endsInTime(process), "\(arguments)")
                #expect(process.wait() == 130, "\(arguments): \(text(ofLog: log))")
                #expect(text(ofLog: log).contains("Interrupted."), "\(arguments): \(text(ofLog: log))")
            }
            file.unlock()
        }
        #expect(try tool("ls", "--quiet").output == "org/model\n")
    }

    @Test("a stopped holder of a lock is reported as stopped, and when it continues, so does the command")
    func stoppedHolder() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
        let holder = try ChildProcess(
            ["flock", "--no-fork", tool.store + "/write.lock", "/bin/sh", "-c", "echo locked; exec sleep 1000"],
            output: .lines)
        #expect(try holder.line() == "locked")
        holder.signal(SIGSTOP)
        let process = try start(["tag", "org/model", "prod"], log: directory("log"))
        try blockUntil { text(ofLog: directory("log")).contains("waiting") || !process.isRunning }
        let report = text(ofLog: directory("log"))
        #expect(report.contains("held by process \(holder.identifier) ("), "\(report)")
        #expect(report.contains("), which is stopped"), "\(report)")
        holder.end(SIGKILL)
        #expect(process.wait() == 0)
    }

    @Test("an interrupted generate removes its unfinished files, and nothing else")
    func generate() throws {
        try directory.write("mine", to: "a/notes.txt")
        for target in ["a", "new/deep"] {
            let process = try tool.start(["generate", directory(target), "--like", "llama-3.2-1b"])
            try blockUntil { FileManager.default.fileExists(atPath: directory("\(target)/model.safetensors")) }
            process.signal(SIGINT)
            let result = process.result()
            #expect(result.status == 130 && result.errors.contains("had begun were removed"), "\(result.errors)")
        }
        #expect(TemporaryDirectory.files(below: directory("a")) == ["notes.txt"])
        #expect(!FileManager.default.fileExists(atPath: directory("new")))
    }

    @Test("an interrupted verify says how to continue, and not that the next run does")
    func verify() throws {
        try TestModel(layers: 2).write(to: directory("model"))
        #expect(try tool("import", directory("model")).status == 0)
        let process = try tool.start(["verify", "--rate", "1"])
        try blockUntil { process.hasOpen("/blobs/") }
        process.signal(SIGTERM)
        let result = process.result()
        #expect(result.status == 130)
        #expect(result.errors.contains("--older-than") && !result.errors.contains("resume"), "\(result.errors)")
    }

    @Test("SIGHUP ends a command, unless it was started with nohup")
    func hangUp() throws {
        try TestModel(layers: 2).write(to: directory("model"))
        #expect(try tool("import", directory("model")).status == 0)
        let process = try tool.start(["verify", "--rate", "1"])
        try blockUntil { process.hasOpen("/blobs/") }
        process.signal(SIGHUP)
        #expect(process.result().status == 130)
        var nohup = tool
        nohup.prefix = ["nohup"]
        let ignoring = try nohup.start(["verify", "--rate", "1"])
        try blockUntil { ignoring.hasOpen("/blobs/") }
        ignoring.signal(SIGHUP)
        usleep(300_000)
        #expect(ignoring.isRunning)
        ignoring.signal(SIGTERM)
        #expect(ignoring.result().status == 130)
    }

    @Test("an option value that would never end, or means nothing, is refused with the allowed range")
    func ranges() throws {
        for (arguments, allowed) in [
            (["verify", "--rate", "0"], "--rate 0: must be at least 1 byte"),
            (["pull", "org/model", "--limit-rate", "0"], "--limit-rate 0: must be at least 1 byte"),
            (["node", "org/model", "--poll", "0"], "--poll 0: must be between 1s and 1d"),
            (["node", "org/model", "--poll", "3w"], "--poll 3w: must be between 1s and 1d"),
            (["load", "org/model", "--budget", "0"], "--budget 0: must be at least 1 byte"),
            (["warm", "--hold", "--every", "0"], "--every 0: must be between 1s and 366d"),
            (["policy", "explain", "lru", "--first", "-1"], "--first"),
            (["policy", "simulate", "--points", "0"], "--points 0: must be between 1 and 10000"),
            (["bench", "--runs", "0"], "--runs 0: must be between 1 and 10000"),
        ] {
            let result = try tool.run(arguments)
            #expect(result.status == 64 && result.errors.contains(allowed), "\(arguments): \(result.errors)")
        }
    }
}
