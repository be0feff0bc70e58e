import Foundation
import TestSupport
import Testing
@testable import Policies
@testable import WeightStore

/// The simulator against caches written out by hand, and against itself.
@Suite(.blocking) struct SimulatorTests {
    let directory = try! TemporaryDirectory()

    /// Accesses with a few popular objects, sizes from 1 to 100.
    private func trace(_ count: Int = 1000 * Sweep.factor, objects: Int = 200, seed: UInt64 = 1) throws -> AccessTrace {
        var random = Random(seed: seed)
        let sizes = (0..<objects).map { _ in Int.random(in: 1...100, using: &random) }
        let lines = (0..<count).map { number -> String in
            let draw = Double.random(in: 0..<1, using: &random)
            let object = Int(Double(objects) * draw * draw * draw)
            return "\(number / 3),o\(object),\(sizes[object])\n"
        }
        return try AccessTrace(files: [try directory.write(lines.joined(), to: "trace-\(seed).csv")])
    }

    private func policy(_ name: String) throws -> Policy { try #require(Policy.builtIn.first { $0.name == name }) }

    private func run(_ name: String, _ trace: AccessTrace, _ quota: Int, low: Double = 1) throws -> Simulation.Result {
        try Simulation(trace: trace, policy: policy(name), quota: quota, low: low).run()
    }

    /// A cache that keeps a value for each object and evicts the least, by a scan of all.
    private func byHand(
        _ trace: AccessTrace, _ quota: Int,
        _ value: (_ uses: Int, _ bytes: Int, _ last: Int, _ clock: Double) -> [Double],
        ages: Bool = false
    ) -> Int {
        struct Entry {
            var uses = 1
            var last: Int
            var clock: Double
        }
        var cache: [Int32: Entry] = [:]
        var stored = 0
        var misses = 0
        var clock = 0.0
        for (now, object) in trace.accesses.enumerated() {
            let bytes = trace.objects[Int(object)].bytes
            if var entry = cache[object] {
                entry.uses += 1
                entry.last = now
                entry.clock = clock
                cache[object] = entry
                continue
            }
            misses += 1
            guard bytes <= quota else { continue }
            while stored + bytes > quota {
                let victim = cache.min { left, right in
                    func of(_ element: (key: Int32, value: Entry)) -> [Double] {
                        value(
                            element.value.uses, trace.objects[Int(element.key)].bytes, element.value.last,
                            element.value.clock)
                    }
                    return of(left).lexicographicallyPrecedes(of(right))
                }!
                let bytes = trace.objects[Int(victim.key)].bytes
                if ages {
                    clock = max(clock, value(victim.value.uses, bytes, victim.value.last, victim.value.clock)[0])
                }
                cache[victim.key] = nil
                stored -= bytes
            }
            cache[object] = Entry(last: now, clock: clock)
            stored += bytes
        }
        return misses
    }

    @Test("each policy misses as often as the same cache written out by hand", arguments: [300, 1500, 4000])
    func byHand(quota: Int) throws {
        let trace = try trace()
        #expect(try run("lru", trace, quota).misses == byHand(trace, quota) { _, _, last, _ in [Double(last)] })
        #expect(
            try run("lfu", trace, quota).misses
                == byHand(trace, quota) { uses, _, last, _ in [Double(uses), Double(last)] })
        #expect(
            try run("size", trace, quota).misses
                == byHand(trace, quota) { _, bytes, last, _ in [-Double(bytes), Double(last)] })
        #expect(
            try run("lfuda", trace, quota).misses
                == byHand(trace, quota, { uses, _, last, clock in [clock + Double(uses), Double(last)] }, ages: true))
        #expect(
            try run("gdsf", trace, quota).misses
                == byHand(
                    trace, quota, { uses, bytes, last, clock in [clock + Double(uses) / Double(bytes), Double(last)] },
                    ages: true))
    }

    @Test("an index on a policy's order changes its speed, and no result")
    func index() throws {
        let trace = try trace(800)
        for policy in Policy.builtIn {
            // In another form no terms are found, and SQLite sorts.
            let other = Policy(name: "other", sql: "WITH same AS (\(policy.sql)) SELECT * FROM same")
            #expect(PolicyTerms.of(other.sql) == nil)
            let indexed = try Simulation(trace: trace, policy: policy, quota: 900, low: 1).run()
            let sorted = try Simulation(trace: trace, policy: other, quota: 900, low: 1).run()
            #expect(indexed.misses == sorted.misses, "\(policy.name)")
            #expect(indexed.missedBytes == sorted.missedBytes, "\(policy.name)")
        }
    }

    @Test("the terms of a policy's order are found, with its columns' names replaced")
    func terms() throws {
        #expect(PolicyTerms.of(try policy("lru").sql) == ["last_access", "shard_id"])
        #expect(PolicyTerms.of(try policy("size").sql) == ["bytes desc", "last_access", "shard_id"])
        #expect(
            PolicyTerms.of(try policy("gdsf").sql)
                == ["(clock + access_count * fetch_seconds / bytes)", "last_access", "shard_id"])
        #expect(PolicyTerms.of(try policy("slru").sql) == nil)
        #expect(PolicyTerms.of("SELECT shard_id FROM candidate") == nil)
        #expect(
            PolicyTerms.of("SELECT shard_id /* a, b */ FROM candidate ORDER BY min(bytes, 3), -layer ASC;") == [
                "(min ( bytes , 3 ))", "(- layer) asc",
            ])
    }

    @Test("no policy falls below the bound, and the bound falls as the quota grows")
    func bound() throws {
        let trace = try trace()
        var last = Simulation.Result()
        last.misses = .max
        last.missedBytes = .max
        for quota in [50, 300, 1500, 4000, trace.footprint] {
            let bound = Bound.result(trace, quota: quota)
            for policy in Policy.builtIn {
                let result = try run(policy.name, trace, quota)
                #expect(result.misses >= bound.misses, "\(policy.name)")
                #expect(result.missedBytes >= bound.missedBytes, "\(policy.name)")
            }
            #expect(bound.misses <= last.misses && bound.missedBytes <= last.missedBytes)
            last = bound
        }
        // With space for all, each object misses once.
        #expect(last.misses == trace.objects.count)
        #expect(last.missedBytes == trace.footprint)
    }

    @Test("Belady's example: with space for three objects of one size, the one with the farthest next use is evicted")
    func belady() throws {
        // Belady 1966's kind of reference string; MIN has 9 faults with 3 frames (Silberschatz, Operating System Concepts).
        let string = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1]
        let lines = string.enumerated().map { "\($0.offset),\($0.element),10\n" }.joined()
        let trace = try AccessTrace(files: [try directory.write(lines, to: "belady.csv")])
        // If an object need not be stored, there is one fault less than in the count of bytes.
        #expect(Bound.result(trace, quota: 30).missedBytes <= 90)
        #expect(try run("lru", trace, 30).misses == 12)
    }

    @Test("a trace with a malformed line is refused with the line's number")
    func malformed() throws {
        let path = try directory.write("time,id,size\n1,a,10\n2,b\n", to: "bad.csv")
        let error = #expect(throws: StorageError.self) { try AccessTrace(files: [path]) }
        #expect("\(error!)".contains("line 3"))
        let good = try directory.write("time,id,size\n# note\n5,a,10\n1,b,20,more\n5,a,10\n", to: "good.csv")
        let trace = try AccessTrace(files: [good])
        #expect(trace.accesses == [1, 0, 0])
        #expect(trace.bytes == 40 && trace.footprint == 30)
    }

    @Test("a curve has a point for each quota and policy, and the bound beside them")
    func curve() throws {
        let trace = try trace(500)
        let curve = try MissRatioCurve.simulateBlocking(
            trace, policies: [policy("lru"), policy("gdsf")], quotas: [100, 1000])
        #expect(curve.lines.map(\.name) == ["lru", "gdsf", "bound"])
        #expect(curve.lines.allSatisfy { $0.points.map(\.quota) == [100, 1000] })
        #expect(throws: CancellationError.self) {
            let work = Work()
            work.cancel()
            _ = try MissRatioCurve.simulateBlocking(trace, policies: [policy("lru")], quotas: [100], work: work)
        }
        #expect(throws: PolicyError.self) {
            try MissRatioCurve.simulateBlocking(
                trace, policies: [Policy(name: "bad", sql: "DELETE FROM resident")], quotas: [100])
        }
    }
}
