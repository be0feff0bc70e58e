import Foundation
import TestSupport

/// Runs random sequences until one breaks a rule or the time is over.
struct SequenceSearch {
    /// A sequence that breaks a rule.
    struct Failure {
        let seed: UInt64
        let reason: String
        /// The steps that are left after the reduction, as a script.
        let script: String
    }

    let seed: UInt64
    let seconds: Double
    /// The number of steps of a sequence.
    let length: Int
    /// The most seconds that the reduction of a failure may last.
    let reductionSeconds: Double
    private(set) var sequences = 0
    private(set) var steps = 0
    private(set) var kills = 0
    /// How often each command ended with each status.
    private(set) var outcomes: [String: Int] = [:]

    init(seed: UInt64, seconds: Double, length: Int = 40, reductionSeconds: Double = 240) {
        self.seed = seed
        self.seconds = seconds
        self.length = length
        self.reductionSeconds = reductionSeconds
    }

    var description: String {
        "\(sequences) sequences, \(steps) steps, \(kills) of them with a kill; commands and statuses: "
            + outcomes.sorted { $0.key < $1.key }.map { "\($0.key) × \($0.value)" }.joined(separator: ", ")
    }

    /// - Returns: the first failure; nil if there is none.
    mutating func run(kills allowsKills: Bool) throws -> Failure? {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end || sequences == 0 {
            let seed = seed &+ UInt64(sequences)
            sequences += 1
            var generator = StepGenerator(seed: seed, kills: allowsKills)
            let run = try SequenceRun()
            defer {
                steps += run.steps.count
                outcomes.merge(run.outcomes, uniquingKeysWith: +)
                kills += run.steps.count { if case .kill = $0 { true } else { false } }
            }
            do {
                for _ in 0..<length {
                    try run.perform(generator.next(run.model, run.directory), run.usualDepth)
                }
                try run.finish()
            } catch {
                return reduce(run.steps, seed, "\(error)")
            }
        }
        return nil
    }

    /// Drops steps, as long as the others still fail in a new store: delta debugging.
    private func reduce(_ steps: [Step], _ seed: UInt64, _ reason: String) -> Failure {
        let end = ContinuousClock.now + .seconds(reductionSeconds)
        var (steps, reason) = (steps, reason)
        var size = max(steps.count / 2, 1)
        var isReproduced = false
        while ContinuousClock.now < end {
            var hasChanged = false
            var start = 0
            while start < steps.count, ContinuousClock.now < end {
                let rest = Array(steps[..<start] + steps[min(start + size, steps.count)...])
                if let found = Self.failure(of: rest) {
                    (steps, reason) = (found.steps, found.reason)
                    (hasChanged, isReproduced) = (true, true)
                } else {
                    start += size
                }
            }
            if size == 1 && !hasChanged { break }
            size = max(size / 2, 1)
        }
        for index in steps.indices where ContinuousClock.now < end {
            guard case .kill(let command, _, _, _) = steps[index] else { continue }
            var simpler = steps
            simpler[index] = .run(command)
            if let found = Self.failure(of: simpler) {
                (steps, reason, isReproduced) = (found.steps, found.reason, true)
                break
            }
        }
        let note = isReproduced ? "" : "# No shorter sequence fails: it may depend on when a command was killed.\n"
        return Failure(seed: seed, reason: reason, script: note + Self.script(steps))
    }

    /// Why steps fail in a new store, and those that were run; nil if they do not fail.
    static func failure(of steps: [Step]) -> (reason: String, steps: [Step])? {
        guard let run = try? SequenceRun() else { return nil }
        do {
            // The last step has shown the failure; the checks before it would cost most of the time.
            for (index, step) in steps.enumerated() {
                try run.perform(step, index == steps.count - 1 ? .rebuild : .listing)
            }
            let count = run.steps.count
            do {
                try run.finish()
            } catch {
                // The steps of the finish belong to every run.
                return ("\(error)", Array(run.steps.prefix(count)))
            }
        } catch {
            return ("\(error)", run.steps)
        }
        return nil
    }

    /// The steps as lines of a script.
    static func script(_ steps: [Step]) -> String { steps.map { "\($0)\n" }.joined() }
}
