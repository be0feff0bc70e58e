import Foundation
import Support
import Synchronization
import Testing

@Suite struct ThreadTests {
    private static let events = Mutex<[String]>([])

    /// Records its release.
    private final class Captured: Sendable {
        deinit { ThreadTests.events.withLock { $0.append("released") } }
    }

    /// Runs `body` when the calling thread begins to end, before the destructors of its local values.
    private static func atEnd(_ body: @convention(c) (UnsafeMutableRawPointer?) -> Void) throws {
        typealias Function =
            @convention(c) (
                @convention(c) (UnsafeMutableRawPointer?) -> Void, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?
            ) -> Int32
        let symbol = try #require(dlsym(nil, "__cxa_thread_atexit_impl"))
        #expect(unsafeBitCast(symbol, to: Function.self)(body, nil, symbol) == 0)
    }

    private static func start(_ proceed: DispatchSemaphore) throws {
        try startThread { [captured = Captured()] in
            proceed.wait()
            withExtendedLifetime(captured) {
                #expect(throws: Never.self) { try atEnd { _ in ThreadTests.events.withLock { $0.append("ends") } } }
            }
        }
    }

    @Test("captures of a thread are released before the thread begins to end")
    func release() async throws {
        let proceed = DispatchSemaphore(value: 0)
        try Self.start(proceed)
        // From here on, the thread alone holds what it captured.
        proceed.signal()
        while Self.events.withLock({ $0.count < 2 }) { try await Task.sleep(for: .milliseconds(1)) }
        #expect(Self.events.withLock { $0 } == ["released", "ends"])
    }

    @Test("parallel work processes each value once; after an error it begins no further ones, and throws the first")
    func parallelWork() throws {
        let seen = Shared(Mutex<[Int: Int]>([:]))
        try ParallelWork.run(Array(0..<1_000)) { value in seen.value.withLock { $0[value, default: 0] += 1 } }
        #expect(seen.value.withLock { $0 } == Dictionary(uniqueKeysWithValues: (0..<1_000).map { ($0, 1) }))
        let begun = Shared(Atomic(0))
        #expect(throws: CancellationError.self) {
            try ParallelWork.run(Array(0..<1_000)) { _ in
                begun.value.add(1, ordering: .relaxed)
                throw CancellationError()
            }
        }
        let count = begun.value.load(ordering: .relaxed)
        // Each of the threads may have begun one before the first error.
        #expect((1...8).contains(count))
    }

    /// Counts its releases.
    private final class Counted: Sendable {
        static let released = Mutex(0)

        deinit { Self.released.withLock { $0 += 1 } }
    }

    private static func call() async throws {
        let counted = Counted()
        try await onThread { withExtendedLifetime(counted) {} }
    }

    @Test("captures of a call on a thread are released before the call returns")
    func result() async throws {
        for round in 1...1_000 {
            try await Self.call()
            #expect(Counted.released.withLock { $0 } == round)
        }
    }

    @Test("no thread is Foundation's, which releases its captures too late")
    func noOther() throws {
        let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        var count = 0
        for folder in ["Sources", "Tests"] {
            let files = FileManager.default.enumerator(atPath: root.appending(path: folder).path)
            for case let path as String in try #require(files) where path.hasSuffix(".swift") {
                let text = try String(contentsOf: root.appending(path: "\(folder)/\(path)"), encoding: .utf8)
                #expect(!text.contains(/\bThread(\.detachNewThread\b|\ \{|\()/), "\(path)")
                count += 1
            }
        }
        #expect(count > 100)
    }
}
