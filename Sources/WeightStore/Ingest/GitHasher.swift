import Crypto
import Support

/// Computes the SHA-1 by which git names the bytes of a file: that of a header with the size, and of the bytes.
package struct GitHasher {
    private var hasher = Insecure.SHA1()

    /// - Parameter bytes: the size of the file.
    package init(bytes: Int) {
        Array("blob \(bytes)\0".utf8).withUnsafeBytes { hasher.update(bufferPointer: $0) }
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) { hasher.update(bufferPointer: bytes) }

    /// 40 hexadecimal digits.
    package func finish() -> String { Hex.encode(hasher.finalize()) }
}
