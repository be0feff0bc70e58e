// Seconds of a method on random keys and values of [1, 32, 8192, 128], one number a line. Tests/kv-benchmark runs it
// beside its peers.
//
//     kv-benchmark METHOD ELEMENT [RUNS]
//     kv-benchmark store [BLOCKS] [OTHERS]       KV blocks in a store

import Dispatch
import Glibc
import KVCompression

let shape = KVShape(1, 32, 8192, 128)
let arguments = CommandLine.arguments
if arguments.dropFirst().first == "store" {
    try StoreBenchmark.run(Array(arguments.dropFirst(2)))
    exit(0)
}
guard arguments.count >= 3, let element = KVElement.allCases.first(where: { "\($0)" == arguments[2] }) else {
    print("usage: kv-benchmark METHOD \(KVElement.allCases) [RUNS]")
    exit(2)
}
let method = arguments[1]
let runs = arguments.count > 3 ? Int(arguments[3]) ?? 5 : 5

func random(_ shape: KVShape, _ element: KVElement, seed: UInt64) -> UnsafeMutableRawBufferPointer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: shape.count * element.bytes, alignment: 64)
    _ = madvise(bytes.baseAddress, bytes.count, MADV_HUGEPAGE)
    var state = seed
    for i in 0..<shape.count {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let value = Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-30  // -2 … 2
        switch element {
        case .float32: bytes.storeBytes(of: value.bitPattern, toByteOffset: i * 4, as: UInt32.self)
        case .float16: bytes.storeBytes(of: Float16(value).bitPattern, toByteOffset: i * 2, as: UInt16.self)
        case .bfloat16:
            bytes.storeBytes(of: UInt16(value.bitPattern >> 16), toByteOffset: i * 2, as: UInt16.self)
        }
    }
    return bytes
}

/// Prints the seconds of each run but the first.
func measure(_ body: () throws -> Void) rethrows {
    for run in 0...runs {
        let start = DispatchTime.now().uptimeNanoseconds
        try body()
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        if run > 0 { print(seconds) }
    }
}

let keys = random(shape, element, seed: 1)
let values = random(shape, element, seed: 2)

// All of both, into memory that is already allocated.
if method == "memcpy" {
    let target = random(shape, element, seed: 3)
    measure { for source in [keys, values] { memcpy(target.baseAddress!, source.baseAddress!, source.count) } }
    exit(0)
}

let rows = method == "snap" || method.hasPrefix("pyramid") ? 32 : 1
let scores = random(KVShape(1, 32, rows, shape.rows), .float32, seed: 4)
let layer = try KVLayer(
    keys: KVView(UnsafeRawBufferPointer(keys), element: element, shape: shape),
    values: KVView(UnsafeRawBufferPointer(values), element: element, shape: shape),
    attention: KVView(UnsafeRawBufferPointer(scores), element: .float32, shape: KVShape(1, 32, rows, shape.rows)))

func measure(_ method: some KVMethod) throws { try measure { _ = try method.compress(layer) } }

func measureDequantize(bits: Int) throws {
    let small = try Quantized(bits: bits).compress(layer)
    measure {
        _ = small.keys.tensor()
        _ = small.values.tensor()
    }
}

switch method {
case "window": try measure(.window(last: 4096))
case "sinks": try measure(.sinks(first: 4, last: 4092))
case "heavyHitters": try measure(.heavyHitters(heavy: 2048, recent: 2048))
case "snap": try measure(.snap(budget: 4096, window: 32))
case "pyramid": try measure(.pyramid(layers: 32, budget: 2048, window: 32))
case "quantized8": try measure(.quantized(bits: 8))
case "quantized4": try measure(.quantized(bits: 4))
case "quantized2": try measure(.quantized(bits: 2))
case "dequantized8": try measureDequantize(bits: 8)
case "dequantized4": try measureDequantize(bits: 4)
case "dequantized2": try measureDequantize(bits: 2)
case "sinksQuantized4": try measure(.sinks(first: 4, last: 4092).then(.quantized(bits: 4)))
default:
    print("no such method: \(method)")
    exit(2)
}
