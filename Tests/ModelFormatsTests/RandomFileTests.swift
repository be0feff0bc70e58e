import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite("Random files")
struct RandomFileTests {
    /// Other seeds in each run, so that runs add up. A failure names the seed of its file; with
    /// `WEIGHTSTORE_TEST_SEED` the run begins with it.
    private func seeds(_ count: UInt64) -> Range<UInt64> {
        let given = ProcessInfo.processInfo.environment["WEIGHTSTORE_TEST_SEED"].flatMap(UInt64.init)
        let first = given ?? .random(in: 0..<1 << 40)
        return first..<first + count * UInt64(Sweep.factor)
    }

    @Test("a safetensors file that was written is read back equal")
    func safetensorsRoundTrip() throws {
        for seed in seeds(100) {
            var random = SeededRandom(seed: seed)
            let (tensors, metadata) = random.safetensors()
            let writer = try SafetensorsWriter(tensors, metadata: metadata)
            let data = [UInt8](repeating: 1, count: writer.fileBytes - writer.header.count)
            let layout = try layout(of: writer.header + data, format: .safetensors)
            let expected = writer.tensors.sorted { ($0.offset, $0.name) < ($1.offset, $1.name) }
            #expect(layout.tensors == expected, "seed \(seed)")
            #expect(layout.metadata == metadata, "seed \(seed)")
            #expect(layout.bytes == writer.fileBytes, "seed \(seed)")
            #expect(brokenPromise(of: layout) == nil, "seed \(seed)")
            #expect(
                Set(
                    layout.tensors.map {
                        SafetensorsWriter.Tensor(name: $0.name, dtype: $0.dtype, shape: $0.shape)
                    })
                    == Set(tensors), "seed \(seed)")
        }
    }

    @Test("a GGUF file that was built is read back equal")
    func ggufRoundTrip() throws {
        for seed in seeds(100) {
            var random = SeededRandom(seed: seed)
            let builder = random.gguf()
            let file = builder.build()
            let layout = try file.read()
            var offset = file.dataStart
            let expected = builder.tensors.map { tensor in
                let info = TensorInfo(
                    name: tensor.name, dtype: ElementType.ggml[tensor.type]?.name ?? "",
                    shape: tensor.shape.map(Int.init), offset: offset, bytes: GGUFBuilder.size(of: tensor))
                offset += (info.bytes + builder.alignment - 1) / builder.alignment * builder.alignment
                return info
            }
            #expect(
                layout.tensors == expected.sorted { ($0.offset, $0.name) < ($1.offset, $1.name) },
                "seed \(seed)")
            #expect(Set(layout.metadata.keys) == Set(builder.metadata.map(\.key)), "seed \(seed)")
            #expect(brokenPromise(of: layout) == nil, "seed \(seed)")
        }
    }

    /// The outcomes of mutated files.
    private struct Outcome {
        var accepted = 0
        var refused = 0

        /// Reads any bytes as a file, and checks the promises that hold for every file.
        mutating func read(_ bytes: [UInt8], format: FileFormat, seed: UInt64) {
            let source = MeteredSource(bytes)
            do {
                let layout = try FileLayout.read(source, format: format)
                accepted += 1
                if let broken = brokenPromise(of: layout) { Issue.record("seed \(seed): \(broken)") }
                if layout.bytes != bytes.count { Issue.record("seed \(seed): \(layout.bytes) bytes") }
            } catch let error as FormatError {
                refused += 1
                if error.file != fileName || !(0...bytes.count ~= error.offset) || error.description.isEmpty {
                    Issue.record("seed \(seed): \(error)")
                }
            } catch {
                Issue.record("seed \(seed): \(error)")
            }
            // A reader allocates memory only for bytes that it has read.
            if source.largestRead > bytes.count || source.reads > 8 {
                Issue.record("seed \(seed): \(source.reads) reads, of up to \(source.largestRead) bytes")
            }
        }
    }

    @Test("a damaged safetensors file is refused or keeps the promises of a layout")
    func damagedSafetensors() throws {
        var outcome = Outcome()
        for seed in seeds(200) {
            var random = SeededRandom(seed: seed)
            let (good, other) = (try safetensors(&random), try safetensors(&random))
            for _ in 0..<20 {
                var bytes = good
                random.mutate(&bytes, splicingFrom: other)
                outcome.read(bytes, format: .safetensors, seed: seed)
            }
        }
        #expect(outcome.accepted > 0 && outcome.refused > 0)
    }

    private func safetensors(_ random: inout SeededRandom) throws -> [UInt8] {
        let (tensors, metadata) = random.safetensors()
        let writer = try SafetensorsWriter(tensors, metadata: metadata)
        return writer.header
            + [UInt8](repeating: 0x31, count: min(2000, writer.fileBytes - writer.header.count))
    }

    @Test("a damaged GGUF file is refused or keeps the promises of a layout")
    func damagedGGUF() {
        var outcome = Outcome()
        for seed in seeds(200) {
            var random = SeededRandom(seed: seed)
            let (good, other) = (random.gguf().build(), random.gguf().build())
            for _ in 0..<20 {
                var bytes = good.bytes
                if random.chance(3, in: 4) {
                    // Most mutations would hit data, which is not read.
                    var header = Array(bytes[..<good.dataStart])
                    random.mutate(&header, splicingFrom: Array(other.bytes[..<other.dataStart]))
                    bytes.replaceSubrange(..<good.dataStart, with: header)
                } else {
                    random.mutate(&bytes, splicingFrom: other.bytes)
                }
                outcome.read(bytes, format: .gguf, seed: seed)
            }
        }
        #expect(outcome.accepted > 0 && outcome.refused > 0)
    }

    @Test("random bytes are refused or keep the promises of a layout")
    func noise() {
        var outcome = Outcome()
        for seed in seeds(400) {
            var random = SeededRandom(seed: seed)
            let noise = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            outcome.read(noise, format: .safetensors, seed: seed)
            outcome.read(
                littleEndian(UInt64(noise.count + 1)) + [0x7B] + noise, format: .safetensors, seed: seed)
            outcome.read(Array("GGUF".utf8) + littleEndian(3 as UInt32) + noise, format: .gguf, seed: seed)
        }
        #expect(outcome.refused > 0)
    }
}
