import Foundation
import Glibc

#if FUZZ
    /// The target that `WEIGHTSTORE_FUZZ_TARGET` names.
    private let target: FuzzTarget = {
        let name = ProcessInfo.processInfo.environment["WEIGHTSTORE_FUZZ_TARGET"] ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            fatalError("WEIGHTSTORE_FUZZ_TARGET \"\(name)\": must be one of \(FuzzTarget.allCases.map(\.rawValue))")
        }
        return target
    }()

    /// libFuzzer calls it with each input.
    @_cdecl("LLVMFuzzerTestOneInput")
    public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        target.run(Array(UnsafeBufferPointer(start: start, count: count)))
        return 0
    }
#else
    /// Without the fuzzer: runs every file of a corpus, `DIRECTORY/<target>/…`, through its target. A trap ends it.
    @main struct Replay {
        static func main() throws {
            let arguments = CommandLine.arguments
            guard arguments.count == 2 else {
                fputs("usage: weightstore-fuzz CORPUS\n", stderr)
                exit(64)
            }
            for target in FuzzTarget.allCases {
                let directory = "\(arguments[1])/\(target.rawValue)"
                let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
                for name in names {
                    target.run(Array(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))))
                }
                print("\(target.rawValue): \(names.count) inputs")
            }
        }
    }
#endif
