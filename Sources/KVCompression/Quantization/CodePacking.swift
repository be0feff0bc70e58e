/// Converts codes between one per byte and as many per byte as fit, the first in the lowest bits.
enum CodePacking {
    /// Writes `bytes` packed bytes. `codes` is padded with 0 to a whole byte.
    @inline(never)
    static func pack(_ codes: UnsafePointer<UInt8>, _ bytes: Int, bits: Int, to target: UnsafeMutableRawPointer) {
        let source = UnsafeRawPointer(codes)
        let target = target.assumingMemoryBound(to: UInt8.self)
        switch bits {
        case 8: target.update(from: codes, count: bytes)
        case 4:
            for i in 0..<bytes {
                let pair = source.loadUnaligned(fromByteOffset: i &* 2, as: UInt16.self)
                target[i] = UInt8(truncatingIfNeeded: pair | pair &>> 4)
            }
        default:
            for i in 0..<bytes {
                let four = source.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self)
                target[i] = UInt8(truncatingIfNeeded: four | four &>> 6 | four &>> 12 | four &>> 18)
            }
        }
    }

    /// Writes `bytes * 8 / bits` codes.
    @inline(never)
    static func unpack(_ source: UnsafeRawPointer, _ bytes: Int, bits: Int, to codes: UnsafeMutablePointer<UInt8>) {
        let target = UnsafeMutableRawPointer(codes)
        let source = source.assumingMemoryBound(to: UInt8.self)
        switch bits {
        case 8: codes.update(from: source, count: bytes)
        case 4:
            for i in 0..<bytes {
                let pair = UInt16(truncatingIfNeeded: source[i])
                target.storeBytes(of: pair & 0xF | (pair & 0xF0) &<< 4, toByteOffset: i &* 2, as: UInt16.self)
            }
        default:
            for i in 0..<bytes {
                let four = UInt32(truncatingIfNeeded: source[i])
                let spread = four & 3 | (four & 0xC) &<< 6 | (four & 0x30) &<< 12 | (four & 0xC0) &<< 18
                target.storeBytes(of: spread, toByteOffset: i &* 4, as: UInt32.self)
            }
        }
    }
}
