import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Kills.KilledTests {
    @Test(
        "a move killed at any point loses nothing, and the next import of its source completes it",
        arguments: [true, false])
    func moves(movesAgain: Bool) throws {
        // More files than a batch, so that some runs leave an unfinished revision.
        let (original, source) = (directory("original"), directory("store-source"))
        try ChildProcess.copy(directory("tuned"), to: original)
        try FileManager.default.createDirectory(atPath: original + "/notes", withIntermediateDirectories: true)
        for index in 0..<270 {
            try Data("\(index)".utf8).write(to: URL(fileURLWithPath: "\(original)/notes/\(index).txt"))
        }
        Thread.sleep(forTimeInterval: 0.2)
        try killing(
            ["import", "--move", source, "--name", "org/moved"], on: directory("template"), most: 3,
            of: ["unlink", "rename", "pwrite64"] + (Sweep.isFull ? ["fsync", "fdatasync"] : []),
            before: { try ChildProcess.copy(original, to: source) }
        ) { place, point, _ in
            let tool = Tool(store: place)
            // The next command of a careful user after an interruption, and of a careless one; between them, cron runs
            // gc.
            for move in movesAgain ? [true] : [false, true] {
                let isEmpty = TemporaryDirectory.files(below: source).isEmpty
                try tool("gc", "--grace", "0")
                let again = try tool.run(
                    ["import", source, "--name", "org/moved"] + (move ? ["--move"] : []))
                #expect(again.status == 0 || isEmpty && again.status == 2, "\(point): \(again.errors)")
                try tool("gc", "--grace", "0")
                let store = try Store(at: place)
                #expect(try Inspection.revisions(in: store) == ["org/base@~1", "org/moved@~1"], "\(point)")
                #expect(try Inspection.differences(of: "org/moved", from: original, in: store) == [], "\(point)")
                #expect(try Inspection.leftovers(in: store) == [], "\(point)")
                try expectBase(store, point)
            }
            #expect(TemporaryDirectory.files(below: source) == [], "\(point)")
        }
    }
}

extension Faults.PowerCutTests {
    @Test(
        "a move that a power cut ends loses nothing, and leaves nothing that becomes a revision of its own",
        .enabled(if: Machine.traces))
    func moves() throws {
        let (original, source) = (directory("original"), disk("source"))
        try ChildProcess.copy(directory("tuned"), to: original)
        var tool = tool
        for step in 0..<8 {
            try ChildProcess.copy(original, to: source)
            Thread.sleep(forTimeInterval: 0.2)
            sync()
            // The last run ends before the power cut.
            tool.prefix =
                step == 7 ? [] : Trace.inject("fdatasync,fsync,unlink", "delay_enter=20000")
            let running = try tool.start(["import", "--move", source, "--name", "org/moved"])
            if step == 7 { #expect(running.result().status == 0) } else { usleep(UInt32(150_000 * (step + 1))) }
            try disk.cutPower()
            if step < 7 { _ = running.result() }
            try disk.mountAgain()
            tool.prefix = []
            let isEmpty = TemporaryDirectory.files(below: source).isEmpty
            let again = try tool.run(["import", "--move", source, "--name", "org/moved"])
            #expect(again.status == 0 || isEmpty && again.status == 2, "step \(step): \(again.errors)")
            let store = try Store(at: disk("store"))
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.revisions(in: store) == ["org/base@~1", "org/moved@~1"], "step \(step)")
            #expect(try Inspection.differences(of: "org/moved", from: original, in: store) == [], "step \(step)")
            #expect(TemporaryDirectory.files(below: source) == [], "step \(step)")
            _ = try store.remove(["org/moved"])
        }
    }
}
